"""Notices of certificates that expire soon: found, listed, sent once."""
