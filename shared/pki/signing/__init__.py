"""Where the CA's private keys live: one small contract, one module per kind of key store."""
