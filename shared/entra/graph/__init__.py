"""Microsoft Graph as this app asks it: the client, batches, and what it asks about users and groups."""

from shared.entra.graph.client import GraphClient

__all__ = ["GraphClient"]
