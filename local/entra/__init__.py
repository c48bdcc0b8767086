"""Entra ID and Microsoft Graph for the laptop: a strict HTTPS emulator that unmodified clients talk to."""
