"""Certificate revocation lists (RFC 5280 5): what is in them, who publishes them, where they are kept."""
