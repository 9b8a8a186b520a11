"""Outputs: what daybreak has written, told by its content wherever it lies, so that it is never read as text."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from daybreak.core.cache import TAG, TAG_FILE

RUN_FOLDER = "a run folder written by daybreak"
PREPARED = "text prepared by daybreak"
MODEL = "a model"
PAGE = "a page or a plan written by daybreak"
CACHE = "a cache"
ENVIRONMENT = "installed packages"

# Files of which one alone tells a run's folder, at whatever moment its process was killed, and keys that are in it.
RUN_MARKS = {
    "request.json": ("sources", "seconds", "settings"),
    "heartbeat.json": ("used_seconds", "pid"),
    "corpus/corpus.json": ("heldout_documents", "threshold"),
    "corpus/documents/parts.json": ("made_of", "keys"),
}
_PREPARED_MARKS = {"corpus.json": RUN_MARKS["corpus/corpus.json"], "parts.json": ("made_of", "keys")}
MARKS = (*RUN_MARKS, *_PREPARED_MARKS, "README.md", "config.json", "pyvenv.cfg", TAG_FILE)
_MOST_BYTES = 1 << 24  # larger files are not read to recognize a folder
HEAD_BYTES = 4096  # read from a page or a plan to recognize it
PAGES = (".html", ".htm", ".json")
_PAGE = re.compile(rb"\A<!doctype html>.{0,1500}(?:<title>[^<]* \xc2\xb7 daybreak</title>|content=\"daybreak\")", re.S)
_JSON = (  # keys at the start of a plan, of a report's facts and of those of `daybreak baselines`
    (b'"schema"', b'"objective"', b'"corpus"', b'"tokenizer"'),
    (b'"schema"', b'"name"', b'"state"', b'"written_at"', b'"request"'),
    (b'"schema"', b'"budget"', b'"out"', b'"text"', b'"heldout_bytes"'),
    (b'"schema"', b'"budget"', b'"out"', b'"rows"', b'"bits_per_byte"'),  # as an earlier version wrote it
)
_PACKAGES = ("__pycache__", "node_modules", "site-packages", "dist-packages")


def is_run_folder(folder: Path) -> bool:
    return _is_run(lambda name: _content(folder / name))


def kind_of_folder(folder: Path) -> str:
    """The kind of a folder that holds no user text, such as RUN_FOLDER; empty where it may hold text."""
    if folder.name in _PACKAGES:
        return ENVIRONMENT
    return _kind(lambda name: _content(folder / name), lambda: (path.name for path in folder.iterdir()))


def kinds_in_archive(names: Collection[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """Such folders by their names in an archive, which end in a slash (the archive itself: nothing).

    names: of its files, with slashes. read: the content of one of them.
    """
    known, found = set(names), dict[str, str]()

    def content(name: str) -> bytes:
        return read(name) if name in known else b""

    for name in names:
        for mark in MARKS:
            folder = name.removesuffix(mark)
            if folder == name or folder in found or (folder and folder[-1] != "/"):
                continue
            what = _kind(
                lambda one, folder=folder: content(folder + one),  # type: ignore[misc]
                lambda folder=folder: (other for other in names if other.startswith(folder)),  # type: ignore[misc]
            )
            if what:
                found[folder] = what
    return found


def kind_in_archive(name: str, folders: Mapping[str, str]) -> tuple[str, str]:
    """The folder among `folders` that holds a file of an archive, and the folder's kind; empty where none does."""
    for folder, what in folders.items():
        if name.startswith(folder):
            return folder, what
    parts = name.split("/")
    for place, part in enumerate(parts[:-1]):
        if part in _PACKAGES:
            return "/".join(parts[: place + 1]) + "/", ENVIRONMENT
    return "", ""


def _kind(read: Callable[[str], bytes], names: Callable[[], Iterable[str]]) -> str:
    """The kind of a folder. read: gives the content of a file in it (empty: no such file); names: lists its files."""
    if _is_run(read):
        return RUN_FOLDER
    if any(_has(read(name), keys) for name, keys in _PREPARED_MARKS.items()):
        return PREPARED
    if _is_model(read, names):
        return MODEL
    if read("pyvenv.cfg").startswith(b"home"):
        return ENVIRONMENT
    return CACHE if read(TAG_FILE).startswith(TAG) else ""


def _is_run(read: Callable[[str], bytes]) -> bool:
    return any(_has(read(name), keys) for name, keys in RUN_MARKS.items())


def _is_model(read: Callable[[str], bytes], names: Callable[[], Iterable[str]]) -> bool:
    """Weights beside their configuration, or our card of an export."""
    card = read("README.md")[:HEAD_BYTES]
    if card.startswith(b"---\n") and b"\n- daybreak\n" in card and b"\nlibrary_name:" in card:
        return True
    if not _has(read("config.json"), ("model_type",)):
        return False
    return any(name.endswith((".safetensors", ".gguf", ".onnx")) for name in names())


def inside_run(path: Path) -> Path | None:
    """The run's folder that a folder is, or is a part of."""
    path = path.absolute()
    own = ("corpus", "checkpoints", "model", "mixture", "exports", "mirrors", "measure", "parent")
    for folder in (path, *path.parents):
        within = path.relative_to(folder).parts
        if (not within or within[0] in own) and is_run_folder(folder):
            return folder
    return None


def is_page(head: bytes, name: str) -> bool:
    """Whether a file is a page, a plan or figures that daybreak has written. head: how it begins."""
    head, ending = head[:HEAD_BYTES], name.lower().rpartition(".")[2]
    if ending in ("html", "htm"):
        return _PAGE.match(head) is not None
    return ending == "json" and head[:1] == b"{" and any(all(key in head for key in keys) for keys in _JSON)


def is_page_file(path: Path) -> bool:
    if path.suffix.lower() not in PAGES:
        return False
    try:
        with path.open("rb") as file:
            return is_page(file.read(HEAD_BYTES), path.name)
    except OSError:
        return False


def _has(content: bytes, keys: tuple[str, ...]) -> bool:
    """Whether the content is a JSON object with all of the keys."""
    if content.lstrip()[:1] != b"{":
        return False
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return all(key in found for key in keys)


def _content(path: Path) -> bytes:
    """Nothing where there is no such file, or one that is too long to be ours."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return b""
        return path.read_bytes()
    except (OSError, ValueError):
        return b""
