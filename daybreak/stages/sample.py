"""Sample: a text to try things with."""

import sys

from daybreak.commands.options import (
    declared,
)


@declared("daybreak sample > novel.txt")
def command() -> None:
    """Print a sample text: Python's reference manual, about 700 KB of English."""
    from daybreak.data.builtin import manual

    sys.stdout.write(manual())
