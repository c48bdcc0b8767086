"""Answers about single certificates (RFC 6960), signed by a delegated responder."""
