"""Quiet: what libraries say to their own developers while they work, left out."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

TALKATIVE = ("torch.onnx", "torch.export", "torch.utils._pytree", "executorch", "onnxscript")


@contextlib.contextmanager
def warned_off() -> Iterator[None]:
    """Without Python's warnings, and without those of the libraries' loggers."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Also without what compiled code writes to the descriptor of standard error."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warned_off():
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
