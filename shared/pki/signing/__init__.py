"""Signing backends: where CA keys live and sign."""
