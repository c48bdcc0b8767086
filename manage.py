#!/usr/bin/env python3
"""`python manage.py`: what an operator does by hand. Each command lives in `shared/cli`."""

import sys

if __name__ == "__main__":
    try:
        from shared.cli.main import main

        main()
    except ModuleNotFoundError as missing:
        sys.exit(
            f"Error: the Python package of {missing.name} is missing. Run `pip install -r requirements-cli.txt`, or "
            "use the Python of the virtual environment where that was done."
        )
