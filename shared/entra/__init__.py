"""What talks to, or reasons about, Microsoft Entra ID."""
