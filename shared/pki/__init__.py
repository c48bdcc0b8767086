"""The certificate authority. Knows nothing of Entra's protocols or of Azure Functions."""
