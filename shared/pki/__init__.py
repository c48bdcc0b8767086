"""The certificate authority: issuers, profiles, the issuance cycle and the keys that sign."""
