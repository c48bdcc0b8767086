"""The records and where they live: ledger (Table Storage), state, blobs, replica (SQLite). Free of Entra and PKI."""
