"""The common module: everything that the functions of this app have in common."""
