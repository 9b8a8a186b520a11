"""Folders: files that stand beside a text and are none, told by what else is in their folder or archive."""

import json
from collections.abc import Callable, Collection, Iterator

from daybreak.core import outputs

FACTS = "what is written beside the rows of a data set, which are read"
COPY = "a copy of a data set's rows that was kept for a computation"
INDEX = "the index of a web archive, whose pages are read"
_STATE, _INFO, _DICT, _PACKAGE = "state.json", "dataset_info.json", "dataset_dict.json", "datapackage.json"
_OWN = (_STATE, _INFO, _DICT)
MARKS = (*outputs.MARKS, *_OWN)  # files that may tell what their folder is


def outside_text(names: Collection[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """The files and folders of an archive that are no text of the user's, and what they are; as daybreak's own.

    names: of its files, with slashes. read: gives the beginning of one of them.
    """
    return outputs.kinds_in_archive(names, read) | beside_text(names, read)


def beside_text(names: Collection[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """Files that stand beside a text, and what they are. names and read: as for `outside_text`, or of one folder."""
    found: dict[str, str] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        if last in _OWN:
            below = folder + "/" if folder else ""
            found |= dict(_of_data_set(below, last, names, read))
        elif last == _PACKAGE and not folder:
            found |= dict(_of_web_archive(names))
    return found


def _of_data_set(
    folder: str, last: str, names: Collection[str], read: Callable[[str], bytes]
) -> Iterator[tuple[str, str]]:
    """Of a folder that `datasets` has written with save_to_disk, or keeps in its cache (hf.co/docs/datasets)."""
    facts = _parsed(read(folder + last))
    if last == _DICT and isinstance(facts.get("splits"), list):
        yield folder + last, FACTS
        return
    tables = [name for name in names if name.startswith(folder) and name.endswith((".arrow", ".parquet"))]
    beside = [name for name in tables if "/" not in name[len(folder) :]]
    if last == _INFO and beside and facts.keys() & {"features", "builder_name", "splits"}:
        yield folder + last, FACTS
        if folder + _STATE not in names:
            yield from ((name, COPY) for name in beside if name[len(folder) :].startswith("cache-"))
    elif last == _STATE and "_data_files" in facts:
        yield folder + last, FACTS
        files = facts["_data_files"]
        rows = {file.get("filename") for file in files if isinstance(file, dict)} if isinstance(files, list) else set()
        yield from ((name, COPY) for name in beside if name[len(folder) :] not in rows and name.endswith(".arrow"))


def _of_web_archive(names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Of a WACZ file, which is a zip (specs.webrecorder.net/wacz)."""
    if any(name.startswith("archive/") and ".warc" in name for name in names):
        yield from ((name, INDEX) for name in names if not name.startswith("archive/"))


def _parsed(content: bytes) -> dict[str, object]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
