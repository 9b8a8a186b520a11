"""Commands: declaring, parsing and printing, shared by all commands of the command line."""
