"""`python -m userstream`: the same as the command."""

from userstream.entry.cli import main

if __name__ == "__main__":
    main()
