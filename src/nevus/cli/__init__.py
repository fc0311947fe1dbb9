"""The command line: thin commands, each importing what it needs when it runs."""
