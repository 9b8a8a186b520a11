"""Memory: what an error looks like where it has ended, and letting go of what can be."""

import gc

import torch

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad allocation")


def ended(error: BaseException) -> bool:
    """Whether the memory, of the machine or of its accelerator, was too small for what was asked."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _SAID)


def let_go() -> None:
    """Of what nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
