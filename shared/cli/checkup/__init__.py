"""What `manage.py doctor` looks at: everything that the app stands on, each in a check of its own."""
