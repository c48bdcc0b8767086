"""The HTTP edge: authentication, request models, errors, pagination."""
