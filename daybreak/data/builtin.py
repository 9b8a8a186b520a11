"""Built in: text that every Python brings along, to try things with."""

import importlib

from daybreak.core.errors import DataError


def manual() -> str:
    """The reference manual of this Python, its topics one after the other. Raises DataError: it was not installed."""
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise DataError(
            "this Python comes without its manual",
            received="no module pydoc_data",
            attempt="use your own text, of at least about 60 KB",
        ) from None
    return "\n\n".join(topics[name].strip("\n") for name in sorted(topics)) + "\n"
