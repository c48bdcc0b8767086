"""Issues certificates to users: what is ordered, allowed, reserved, signed, confirmed (docs/issuance-cycle.md)."""
