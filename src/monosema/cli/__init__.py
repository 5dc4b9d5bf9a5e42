"""The command line: one file per command. A new command is one new file with a docstring and a `main(arguments)`."""
