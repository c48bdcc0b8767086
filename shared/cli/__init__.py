"""`python manage.py …`: what an operator does by hand."""
