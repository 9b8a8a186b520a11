"""Scores: nats of a text by places in its bytes, so that runs whose tokenizers differ are compared on the same text."""

import contextlib
import functools
import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from daybreak.core.errors import DataError, ResourceError
from daybreak.core.metrics import BITS_PER_BYTE, Metric
from daybreak.core.run import Run
from daybreak.data.tokenizers.base import Tokenizer

if TYPE_CHECKING:
    from daybreak.evaluation.loaded import Loaded
    from daybreak.tasks.scoring import TokenScores

CELL_BYTES = 512  # finer than any block that is made of them, and a megabyte has only two thousand


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """A document is cut into cells of CELL_BYTES from its beginning; its last cell may be shorter.

    A token that crosses from one cell into the next gives each a part of its nats, by the bytes it has there.
    """

    documents: np.ndarray  # int64 [C]: of which document each cell is, counted from 0
    places: np.ndarray  # int64 [C]: which cell of its document it is, counted from 0
    sizes: np.ndarray  # int64 [C]: bytes
    digests: np.ndarray  # uint64 [C]: of the bytes
    nats: np.ndarray  # float64 [C], of model/ alone
    mixed: np.ndarray | None  # float64 [C], of the mixture where the run has one
    whole: bool  # all of the text, not only the part of it that the time sufficed for
    headline: str = BITS_PER_BYTE.name  # what sizes and nats are of, where tokens are hidden; see `of_hidden`

    @classmethod
    def of_hidden(
        cls,
        stream: np.ndarray,
        answers: "TokenScores",
        headline: Metric,
        context: int,
        *,
        where: np.ndarray | None = None,
    ) -> Self:
        """A cell is a window, its size the targets in it, and its nats ln 2 times what is counted against the model.

        These are the targets that it missed, or its nats of all. So `bits_per_byte` is the share of what is missed, or
        the nats of a target. stream: tokens [n]. where: bool [windows], those that were answered; without it, all.
        Windows of other tokens or another width are another text.
        """
        from daybreak.tasks.scoring import Hidden  # which needs torch, and counting does without

        windows = np.concatenate(list(Hidden.rows(stream, context)) or [np.zeros((0, 2), np.int64)])
        scored = np.arange(len(windows)) if where is None else np.flatnonzero(where)
        windows = windows[scored]
        counted = answers.columns()[headline.numerator].astype(np.float64)
        against = 1 - counted if headline.higher_is_better else counted
        table = against[: len(windows) * answers.of_a_row].reshape(len(windows), -1)
        return cls(
            documents=scored,
            places=np.zeros(len(windows), np.int64),
            sizes=np.full(len(windows), answers.of_a_row),
            digests=np.array([_digest(row.tobytes()) for row in windows], np.uint64),
            nats=table.sum(1) * np.log(2),
            mixed=None,
            whole=where is None or bool(where.all()),
            headline=headline.name,
        )

    @classmethod
    def of(
        cls,
        stream: np.ndarray,
        tokenizer: Tokenizer,
        nats: np.ndarray,
        mixed: np.ndarray | None,
        *,
        whole: bool,
        where: np.ndarray | None = None,
    ) -> Self:
        """stream: tokens [n] with the end-of-text token before each document; nats, mixed: [n] or a beginning.

        where: bool [n], the tokens that were scored, of which alone nats and mixed are then; cells that these do not
        fill are left out.
        """
        where = np.ones(len(nats), bool) if where is None else where
        stream = stream[: len(where)]
        text = b"".join([tokenizer.bytes_of(token) for token in stream[where].tolist()])
        token_sizes = tokenizer.token_bytes[stream].astype(np.int64)
        ends = np.cumsum(token_sizes)
        opening = np.flatnonzero(stream == tokenizer.end_of_text)
        first = [] if len(opening) and opening[0] == 0 else [0]
        starts = np.concatenate([np.array(first, np.int64), ends[opening]])
        documents, places, edges = _cells(starts, int(ends[-1]) if len(ends) else 0)
        inside = token_sizes > 0

        def up_to_edges(values: np.ndarray) -> np.ndarray:
            # The sum up to a byte, interpolated: so a token on an edge is split by its bytes.
            everywhere = np.zeros(len(stream))
            everywhere[where] = values
            sums = np.concatenate([[0.0], np.cumsum(everywhere[inside])])
            return np.interp(edges, np.concatenate([[0], ends[inside]]), sums)

        scored = np.rint(up_to_edges(token_sizes[where].astype(np.float64))).astype(np.int64)  # bytes of `text`
        filled = np.diff(scored) == np.diff(edges)
        digests = [_digest(text[a:b]) for a, b in zip(scored[:-1][filled], scored[1:][filled], strict=True)]
        scores = cls(
            documents=documents[filled],
            places=places[filled],
            sizes=np.diff(edges)[filled],
            digests=np.array(digests, np.uint64),
            nats=np.diff(up_to_edges(nats))[filled],
            mixed=None if mixed is None else np.diff(up_to_edges(mixed))[filled],
            whole=whole and bool(where.all()),
        )
        ended = whole or not len(stream) or stream[-1] == tokenizer.end_of_text or not where[-1]
        # A cell that more text would have filled is not the same cell in a run that had the time to go on.
        if ended or scores.sizes[-1:].sum() >= CELL_BYTES:
            return scores
        return scores.cells(np.arange(len(scores.sizes) - 1))

    def cells(self, chosen: np.ndarray) -> Self:
        """Some of the cells, by their numbers in rising order."""
        return replace(
            self,
            documents=self.documents[chosen],
            places=self.places[chosen],
            sizes=self.sizes[chosen],
            digests=self.digests[chosen],
            nats=self.nats[chosen],
            mixed=None if self.mixed is None else self.mixed[chosen],
            whole=self.whole and len(chosen) == len(self.sizes),
        )

    def keys(self) -> np.ndarray:
        """int64 [C], rising: where in the text each cell is."""
        return (self.documents << 32) | self.places

    @property
    def bytes(self) -> int:
        return int(self.sizes.sum())

    @property
    def best(self) -> np.ndarray:
        """Nats [C] with all that the run keeps: of the mixture where there is one."""
        return self.nats if self.mixed is None else self.mixed

    def bits_per_byte(self, nats: np.ndarray) -> float:
        return float(nats.sum() / max(1, self.bytes) / np.log(2))

    # Files

    def save(self, path: Path) -> None:
        """Raises OSError."""
        beside = path.with_name(f".{path.name}.part")
        columns = {
            "documents": self.documents.astype(np.int32),
            "places": self.places.astype(np.int32),
            "sizes": self.sizes.astype(np.int32),
            "digests": self.digests,
            "nats": self.nats,
            "whole": np.array(self.whole),
            "cell_bytes": np.array(CELL_BYTES),
            "headline": np.array(self.headline),
        }
        if self.mixed is not None:
            columns["mixed"] = self.mixed
        try:
            with beside.open("wb") as file:
                np.savez(file, allow_pickle=False, **columns)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ResourceError: the file is damaged or of another version."""
        try:
            with np.load(path, allow_pickle=False) as file:
                columns = {name: file[name] for name in file.files}
            if int(columns["cell_bytes"]) != CELL_BYTES:
                raise ValueError(f"blocks of {columns['cell_bytes']} bytes")
            documents = columns["documents"].astype(np.int64)
            # Runs of older versions scored a beginning of the text and kept no places.
            places = columns["places"].astype(np.int64) if "places" in columns else _counted(documents)
            return cls(
                documents=documents,
                places=places,
                sizes=columns["sizes"].astype(np.int64),
                digests=columns["digests"],
                nats=columns["nats"],
                mixed=columns.get("mixed"),
                whole=bool(columns["whole"]),
                headline=str(columns.get("headline", BITS_PER_BYTE.name)),
            )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ResourceError(
                "the held-out scores cannot be read",
                received=f"{path}: {error}",
                attempt=f"rm '{path}', then repeat the command: the text is scored again",
            ) from None


def common(scores: Sequence[Scores]) -> list[Scores]:
    """Each on the cells that all have; on none where the texts are not the same, as far as they were scored."""
    keys = [one.keys() for one in scores]
    shared = functools.reduce(np.intersect1d, keys)
    found = [one.cells(np.searchsorted(known, shared)) for one, known in zip(scores, keys, strict=True)]
    same = all(np.array_equal(found[0].digests, other.digests) for other in found[1:])
    # Who has scored all of a text has every cell of it.
    every = [known for one, known in zip(scores, keys, strict=True) if one.whole]
    beyond = any(len(np.setdiff1d(other, known)) for known in every for other in keys)
    nothing = np.zeros(0, np.int64)
    return found if same and not beyond else [one.cells(nothing) for one in scores]


def of_heldout(path: str | Path) -> Scores:
    """Of the run's own held-out text: those that its end wrote, or, where there are none, scored now and kept.

    Raises UsageError: no such run, or one without a model.
    """
    run = Run.open(path)
    if run.scores_file.exists():
        return Scores.read(run.scores_file)
    from daybreak.evaluation.loaded import load
    from daybreak.evaluation.streams import heldout_stream

    loaded = load(path)
    scores = _scored(loaded, heldout_stream(loaded.run, loaded.plan), fitted_on_it=True)
    with contextlib.suppress(OSError):  # a folder that may only be read is scored again by the next command
        scores.save(run.scores_file)
    return scores


def on_text(path: str | Path, on: tuple[str, ...], skipped: list[str] | None = None) -> Scores:
    """Of any text. skipped: is given sentences on what of it is not read.

    Raises UsageError as `load`, and DataError: no text.
    """
    from daybreak.evaluation.loaded import load
    from daybreak.evaluation.streams import stream_of

    loaded = load(path)
    return _scored(loaded, stream_of(loaded.tokenizer, on, skipped), fitted_on_it=False)


def _scored(loaded: "Loaded", stream: np.ndarray, *, fitted_on_it: bool) -> Scores:
    """fitted_on_it: the mixture's weights come from this very text, so each half is scored with the other's."""
    from daybreak.models.inference.mixture import Mixture
    from daybreak.models.inference.scores import nats_of
    from daybreak.tasks import task_of
    from daybreak.tasks.fill_mask import Filler
    from daybreak.tasks.scoring import stream_windows

    if isinstance(loaded.alone, Filler):
        answers = (
            task_of(loaded.plan.objective).scorer(loaded.plan, loaded.tokenizer).score(loaded.alone.module, stream)
        )
        return Scores.of_hidden(stream, answers, loaded.plan.headline, loaded.context_length)
    windows = stream_windows(stream, loaded.tokenizer.end_of_text, loaded.context_length)
    nats = nats_of(loaded.alone, windows, stream)
    mixed = None
    if isinstance(loaded.predictor, Mixture):
        mixing = loaded.predictor.cross_fitted if fitted_on_it else loaded.predictor.mixed
        mixed = mixing(nats, stream)
    scores = Scores.of(stream, loaded.tokenizer, nats, mixed, whole=True)
    if not scores.bytes:
        raise DataError(
            "there is no text to score", received=str(loaded.run), attempt="name a file with text in it: --on FILE"
        )
    return scores


def _cells(starts: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of documents that start at these bytes [D] and fill `end`: the document of each cell [C], which of its cells
    each one is [C], and the edges [C + 1] in bytes.
    """
    lengths = np.diff(np.append(starts, end))
    counts = -(-lengths // CELL_BYTES)
    documents = np.repeat(np.arange(len(starts)), counts)
    within = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)
    return documents, within, np.append(starts[documents] + within * CELL_BYTES, end).astype(np.int64)


def _counted(documents: np.ndarray) -> np.ndarray:
    """Which cell of its document each one is, of cells [C] without a gap."""
    begins = np.flatnonzero(np.diff(documents, prepend=-1))
    return np.arange(len(documents)) - np.repeat(begins, np.diff(begins, append=len(documents)))


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
