"""The laptop's cloud: Azurite, an Entra emulator, a functions host and the demo. Never deployed."""
