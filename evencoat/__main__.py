"""`python -m evencoat` is the command line."""

from evencoat.cli import main

if __name__ == "__main__":
    main()
