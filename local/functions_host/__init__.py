"""A small Azure Functions host for a laptop: HTTP and timer triggers of a Python v2 app, with the real host's habits.

It exists because Azure Functions Core Tools do not come from a package registry; `func start` works as well. Never
deployed.
"""
