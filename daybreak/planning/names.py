"""Names: checks files, techniques and settings that a command names, before text is read or torch is imported."""

import glob
import os
import re
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

from daybreak import techniques
from daybreak.core.errors import DataError, UsageError, nearest
from daybreak.core.request import Request
from daybreak.models import families
from daybreak.planning import settings

_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|meta)(:\d{1,3})?")


def check(request: Request) -> None:
    """Raises UsageError and DataError: no such family, setting, technique, device, file or folder.

    torch is imported only where a technique is given settings, which its class knows.
    """
    if request.seconds and not request.parent:
        if request.family not in families.listed():
            raise UsageError(
                "unknown family",
                received=f"--family {request.family}",
                attempt=nearest(request.family, families.listed()),
            )
        settings.parsed(request)
    for option, given in (("--with", request.include), ("--without", request.exclude)):
        for name in given:
            if name not in techniques.names():
                raise techniques.unknown(name, option)
    check_device(request.device)
    if request.parent and not Path(request.parent).is_dir():
        raise UsageError(
            "the checkpoint does not exist",
            received=f"--from {request.parent}",
            attempt="use a run's folder, such as runs/NAME, or a folder with config.json and model.safetensors",
        )
    if request.heldout:
        check_file(request.heldout, "--heldout", "name a file of text to score on")
    check_sources(request.sources)
    for name in request.technique_settings:
        techniques.chosen(name, request)


def check_device(device: str) -> None:
    """Whether it may be a device's name. Raises UsageError."""
    if device and not _DEVICE.fullmatch(device):
        kinds = ("cpu", "cuda", "mps")
        raise UsageError("unknown device", received=f"--device {device}", attempt=nearest(device, kinds))


def check_file(path: str, option: str, attempt: str) -> None:
    """Raises DataError: no such file."""
    if not _is_there(path, os.path.isfile):
        raise DataError("the file is not there", received=f"{option} {path}", attempt=attempt)


def check_sources(sources: Sequence[str]) -> None:
    """Raises DataError: an address that is none, or a file or folder on this machine that is not there."""
    for source in sources:
        try:
            urllib.parse.urlsplit(source)
        except ValueError as error:
            if "://" in source:
                raise DataError(
                    "the address cannot be read",
                    received=f"{source}: {error}",
                    attempt="use an address such as https://...",
                ) from None
        local = source != "-" and not re.match(r"[a-z][a-z0-9+.-]*://", source) and not glob.has_magic(source)
        if local and not _is_there(source, os.path.lexists):
            raise DataError(
                "the file or folder does not exist",
                received=source if source.strip() else repr(source),
                attempt="check the name with `ls`; - reads standard input",
            )


def _is_there(path: str, asks: Callable[[str], bool]) -> bool:
    try:
        return asks(path)
    except ValueError:  # a null character
        return False
