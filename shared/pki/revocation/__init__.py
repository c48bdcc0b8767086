"""What ends certificates before their time: operators, departures of users, restores (docs/revocation.md)."""
