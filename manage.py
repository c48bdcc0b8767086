"""`python manage.py`: what an operator does by hand. Each command lives in `shared/cli`."""

from shared.cli.main import main

if __name__ == "__main__":
    main()
