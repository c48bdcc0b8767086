"""Azure Key Vault's keys for the laptop: a strict HTTPS emulator that unmodified Azure clients talk to."""
