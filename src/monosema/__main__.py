"""`python -m monosema` is the command line."""

from monosema.cli.main import main

if __name__ == "__main__":
    main()
