"""Commands: what the verbs of the command line share: how they are declared, parsed and printed."""
