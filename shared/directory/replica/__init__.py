"""The replica: a SQLite read model for lists, search, statistics and CRL contents (docs/replica.md)."""
