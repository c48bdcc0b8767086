"""Microsoft Graph v1.0 as far as users and groups go, as unforgiving as the service."""
