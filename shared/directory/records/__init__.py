"""The kinds of record in the directory table, one module a subject."""
