"""The records and where they live: ledger (Table Storage), state, blobs, replica (SQLite). Knows nothing of Entra or PKI."""
