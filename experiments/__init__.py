"""The command line: what a person runs."""
