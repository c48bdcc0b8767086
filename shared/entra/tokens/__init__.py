"""Judges Entra tokens: strict parsing, rules for claims, signing keys (docs/tokens.md)."""
