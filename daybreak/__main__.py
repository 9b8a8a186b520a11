"""`python -m daybreak` is the command `daybreak`."""

from daybreak.cli import main

main()
