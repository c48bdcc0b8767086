"""The CA itself: its issuers, their certificates, and how they come to be."""
