"""Remote: files behind web addresses and Hugging Face data sets, fetched once into the cache, checked and pinned."""

import hashlib
import json
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from daybreak.core import cache, failures, units
from daybreak.core.errors import DataError, ResourceError, UsageError, nearest
from daybreak.core.values import Json

TIMEOUT_SECONDS = 30.0  # without a byte
TRIES = 3
LEAST_BYTES_PER_SECOND = 1000  # over a minute; a server that drips would hold a run for ever
MOST_BYTES = 200_000_000_000  # of one file: longer than any text on the web, shorter than an endless answer
_WATCHED_SECONDS = 60.0
_BLOCK = 1 << 18
_ORIGIN = "origin.json"
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses after which another try may do better
_SCHEMES = ("http", "https")
_DATA_SET = re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?::(?P<split>[\w-]+))?")
_DATA_FILES = (".parquet", ".jsonl", ".json", ".csv", ".tsv", ".txt", ".zst", ".gz", ".xz", ".bz2", ".zip", ".xml")
_NO_DATA = frozenset(("dataset_infos.json", "dataset_info.json", "state.json", "requirements.txt"))


def is_address(source: str) -> bool:
    return source.startswith(("http://", "https://", "hf://"))


def fetched(source: str) -> list[Path]:
    """The files behind an address, in the cache; what is there whole is not fetched again.

    Raises DataError: not there, not whole after three tries, or not what `#sha256=` says; UsageError: an address that
    makes no sense, or a missing library; ResourceError: no room.
    """
    return data_set(source) if source.startswith("hf://") else [web_file(source)]


def origin(path: Path) -> str:
    """Where a file in the cache came from, as a sentence; nothing for other files."""
    root = cache.folder() / "sources"
    if not str(path).startswith(str(root)):
        return ""
    for folder in path.parents:
        if folder == root:
            break
        if (note := folder / _ORIGIN).is_file():
            return str(json.loads(note.read_text("utf-8"))["said"])
    return ""


def _folder(source: str) -> Path:
    """The cache folder of a source. The address is only hashed into the name: nothing in it leads elsewhere."""
    folder = cache.folder() / "sources" / hashlib.blake2b(source.encode(), digest_size=10).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failures.of_system(
            error,
            what="the cache folder cannot be written",
            place=folder,
            attempt="name a folder that you may write in the variable DAYBREAK_CACHE",
        ) from None
    return folder


def _remember(folder: Path, facts: Json) -> None:
    beside = folder / f"{_ORIGIN}.part"
    beside.write_text(json.dumps(facts), "utf-8")
    beside.rename(folder / _ORIGIN)


# Web addresses


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only: a server must not name files of this machine."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme.lower() not in _SCHEMES:
            raise _wrong(req.full_url, f"it redirects to {units.address(newurl)[:200]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> object:
        target = headers.get("location") or headers.get("uri") or ""
        scheme = urllib.parse.urlsplit(target).scheme.lower()
        if scheme and scheme not in _SCHEMES:
            raise _wrong(req.full_url, f"it redirects to {units.address(target)[:200]}")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


def web_file(
    source: str,
    *,
    timeout: float = TIMEOUT_SECONDS,
    most_bytes: int = MOST_BYTES,
    wait: Callable[[float], object] = time.sleep,
) -> Path:
    """The file behind an http or https address, which may end in `#sha256=...`."""
    parts = urllib.parse.urlsplit(source)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise UsageError("the web address is not valid", received=source, attempt="write it like https://HOST/FILE")
    fragment = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", parts.fragment)
    if parts.fragment.startswith("sha256=") and not fragment:
        raise UsageError(
            "a sha256 has 64 hexadecimal digits", received=parts.fragment, attempt="`sha256sum FILE` prints it"
        )
    expected = fragment[1].lower() if fragment else ""
    url = urllib.parse.urlunsplit(parts._replace(fragment=""))
    folder = _folder(url)
    name = re.sub(r"[^\w.-]", "_", urllib.parse.unquote(PurePosixPath(parts.path).name)).lstrip(".")[-120:] or "index"
    path = folder / name
    if path.is_file() and (folder / _ORIGIN).is_file():
        facts = json.loads((folder / _ORIGIN).read_text("utf-8"))
        if path.stat().st_size == facts["bytes"] and expected in ("", facts["sha256"]):
            return path
    part = folder / f"{name}.part"
    _download(url, part, timeout=timeout, most_bytes=most_bytes, wait=wait)
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and digest != expected:
        part.unlink()
        raise _wrong(url, f"its sha256 is {digest}, not {expected}")
    size = part.stat().st_size
    part.rename(path)
    said = f"fetched from {units.address(url)} on {time.strftime('%Y-%m-%d')}, sha256 {digest}"
    _remember(folder, {"url": units.address(url), "sha256": digest, "bytes": size, "said": said})
    return path


def _download(url: str, part: Path, *, timeout: float, most_bytes: int, wait: Callable[[float], object]) -> None:
    """Into `part`, which is continued where the server can."""
    opener = urllib.request.build_opener(_Redirects)
    part.unlink(missing_ok=True)
    unchanged, reason = "", ""
    for attempt in range(TRIES):
        if attempt:
            wait(2.0**attempt)
        try:
            unchanged = _one_try(opener, url, part, unchanged, timeout, most_bytes)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code not in _PASSING:
                raise _wrong(url, reason) from None
        except _CutShort as error:
            unchanged, reason = error.unchanged, str(error)
        except OSError as error:
            if part.exists() and error.errno == 28:
                raise _no_room(part, url) from None
            cause = getattr(error, "reason", error)
            reason = (
                "the server did not answer in time"
                if isinstance(cause, TimeoutError)
                else str(cause) or type(cause).__name__
            )
        except ValueError as error:  # from http.client: an answer that is not HTTP
            reason = str(error)
        else:
            return
    size = part.stat().st_size if part.exists() else 0
    raise _wrong(url, f"{reason}, at byte {size}, after {TRIES} tries")


class _CutShort(Exception):
    """The connection ended before the file did; `unchanged` names the version that was being fetched."""

    def __init__(self, reason: str, unchanged: str) -> None:
        super().__init__(reason)
        self.unchanged = unchanged


def _one_try(
    opener: urllib.request.OpenerDirector, url: str, part: Path, unchanged: str, timeout: float, most_bytes: int
) -> str:
    have = part.stat().st_size if part.exists() and unchanged else 0
    headers = {"User-Agent": "daybreak", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": unchanged}
    start = time.monotonic()
    with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        if answer.status != 206 or not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            have = 0
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        unchanged = "" if version.startswith("W/") else version
        told = answer.headers.get("Content-Length", "")
        total = have + int(told) if told.isdigit() else 0
        if total > most_bytes:
            raise _wrong(url, f"{total} bytes; at most {most_bytes} are downloaded")
        if total - have > shutil.disk_usage(part.parent).free:
            raise _no_room(part, url)
        size = have
        with part.open("ab" if have else "wb") as file:
            while True:
                try:
                    block = answer.read1(_BLOCK)
                except OSError as error:
                    raise _CutShort(
                        "the server did not answer in time" if isinstance(error, TimeoutError) else str(error),
                        unchanged,
                    ) from None
                if not block:
                    break
                file.write(block)
                size += len(block)
                if size > most_bytes:
                    raise _wrong(url, f"it does not end; at most {most_bytes} bytes are downloaded")
                seconds = time.monotonic() - start
                if seconds > _WATCHED_SECONDS and (size - have) / seconds < LEAST_BYTES_PER_SECOND:
                    raise _CutShort(f"slower than {LEAST_BYTES_PER_SECOND} bytes a second", unchanged)
    if told.isdigit() and size != total:
        raise _CutShort(f"{size} bytes arrived, but the server announced {total}", unchanged)
    return unchanged


def _wrong(url: str, reason: str) -> DataError:
    return DataError(
        "the address could not be fetched",
        received=f"{units.address(url)}: {reason}",
        attempt="open the address in a browser, or download the file yourself and name it",
    )


def _no_room(part: Path, url: str) -> ResourceError:
    free = shutil.disk_usage(part.parent).free
    return ResourceError(
        "not enough disk space for the download",
        received=f"{units.address(url)}: {free} bytes are free at {part.parent}",
        attempt="use a larger disk: name a folder on it in the variable DAYBREAK_CACHE",
    )


# Hugging Face data sets


class Hub(Protocol):
    """The requests that are made to the hub."""

    def files(self, name: str, revision: str) -> tuple[str, list[str], str]:
        """The commit that the revision is now, the paths of its files, and the licence that its card names."""
        ...

    def download(self, name: str, path: str, commit: str, folder: Path) -> Path:
        """Where the file is now, below the folder."""
        ...


def data_set(source: str, *, hub: Hub | None = None) -> list[Path]:
    """Files of `hf://owner/name[@revision][:split]`: the split's, else those for training, else all that hold data."""
    matched = _DATA_SET.fullmatch(source)
    if not matched:
        raise UsageError(
            "the name of the data set is not valid",
            received=source,
            attempt="write it as hf://OWNER/NAME, then @REVISION and :SPLIT if you want them",
        )
    name, revision, split = matched["name"], matched["revision"] or "", matched["split"] or ""
    folder = _folder(source)
    note = folder / _ORIGIN
    if note.is_file():
        facts = json.loads(note.read_text("utf-8"))
        files = [folder / file for file in facts["files"]]
        if all(file.is_file() for file in files):
            return files
    hub = hub or _HuggingFace()
    commit, listed, licence = hub.files(name, revision)
    wanted = _of_split(source, listed, split)
    paths = [hub.download(name, path, commit, folder) for path in wanted]
    if any(not path.resolve().is_relative_to(folder.resolve()) for path in paths):
        raise DataError(
            "a file of the data set lies outside its folder", received=source, attempt="use another data set"
        )
    said = f"from the data set {name} at revision {commit}" + (f", split {split}" if split else "")
    said += f", whose card names the licence {licence}" if licence else ", whose card names no licence"
    _remember(folder, {"said": said, "commit": commit, "files": [str(path.relative_to(folder)) for path in paths]})
    return paths


def _of_split(source: str, listed: Sequence[str], split: str) -> list[str]:
    safe = [path for path in listed if not path.startswith(("/", ".")) and ".." not in PurePosixPath(path).parts]
    data = [path for path in safe if path.endswith(_DATA_FILES) and PurePosixPath(path).name not in _NO_DATA]
    columnar = [path for path in data if path.endswith(".parquet")]
    data = sorted(columnar or data)  # often the same rows are there in several formats
    words = {path: set(re.split(r"[/_.-]", path.lower())) for path in data}
    chosen = [path for path in data if (split or "train").lower() in words[path]]
    if not chosen and split:
        known = set().union(*words.values()) & {"train", "test", "validation", "valid", "dev", "val"}
        raise DataError("the data set has no such split", received=source, attempt=nearest(split, known))
    if not data:
        raise DataError(
            "the data set has no files of data", received=source, attempt="see the data set's page on huggingface.co"
        )
    return chosen or data


class _HuggingFace:
    def __init__(self) -> None:
        try:
            import huggingface_hub
        except ImportError:
            raise UsageError(
                "reading data sets of Hugging Face needs the library huggingface_hub",
                received="hf://",
                attempt="run pip install '.[hf]' in the checkout",
            ) from None
        self._library = huggingface_hub

    def files(self, name: str, revision: str) -> tuple[str, list[str], str]:
        try:
            info = self._library.HfApi().dataset_info(name, revision=revision or None, timeout=TIMEOUT_SECONDS)
        except Exception as error:  # its own exceptions, and those of libraries below it
            raise self._failed(name, error) from None
        named = getattr(info.card_data, "license", None) or ""
        licence = named if isinstance(named, str) else ", ".join(map(str, named))
        return str(info.sha), [file.rfilename for file in info.siblings or []], licence

    def download(self, name: str, path: str, commit: str, folder: Path) -> Path:
        try:
            kept = self._library.hf_hub_download(
                name, path, repo_type="dataset", revision=commit, local_dir=folder, etag_timeout=TIMEOUT_SECONDS
            )
        except Exception as error:
            raise self._failed(f"{name}/{path}", error) from None
        return Path(kept)

    def _failed(self, what: str, error: Exception) -> DataError:
        lines = str(error).strip().splitlines()
        return DataError(
            "the data set could not be fetched",
            received=f"{what}: {lines[0] if lines else type(error).__name__}",
            attempt="check the name on its page and the network; if the data set is gated, `hf auth login`",
        )
