"""Score table: what a model scored on each part of a text, as named sums that a metric is computed from."""

import contextlib
import functools
import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from daybreak.core.errors import DataError, ResourceError, UsageError
from daybreak.core.metrics import BITS_PER_BYTE, METRICS, Metric
from daybreak.core.run import Run
from daybreak.data.tokenizers.base import Tokenizer

if TYPE_CHECKING:
    from daybreak.evaluation.loaded import Loaded
    from daybreak.tasks.scoring import TokenScores

VERSION = 2  # of the file; files of the first version do not say theirs
CELL_BYTES = 512  # finer than any block that is made of them, and a megabyte has only two thousand


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Named sums for each cell of a text, so that runs whose tokenizers differ are compared on the same text.

    Of a text that is continued, a document is cut into cells of CELL_BYTES from its beginning; its last cell may be
    shorter. A token that crosses from one cell into the next gives each a part of its nats and of its one token, by the
    bytes it has there. Of a text with targets in it, such as hidden tokens, a cell is a window.
    """

    documents: np.ndarray  # int64 [C]: of which document each cell is, counted from 0
    places: np.ndarray  # int64 [C]: which cell of its document it is, counted from 0
    digests: np.ndarray  # uint64 [C]: of the bytes, or of a window's tokens
    sums: dict[str, np.ndarray]  # [C] each, by the names of core/metrics.Sums; of model/ alone
    mixed: np.ndarray | None  # nats, float64 [C], of the mixture where the run has one
    whole: bool  # all of the text, not only the part of it that the time sufficed for
    metric: Metric = BITS_PER_BYTE  # that the sums are compared by

    @classmethod
    def of_hidden(
        cls,
        stream: np.ndarray,
        answers: "TokenScores",
        metric: Metric,
        context: int,
        *,
        where: np.ndarray | None = None,
    ) -> Self:
        """A cell is a window, whose sums are those of the targets in it.

        stream: tokens [n]. where: bool [windows], those that were scored; without it, all. Windows of other tokens or
        another width are another text.
        """
        from daybreak.tasks.scoring import Hidden  # which needs torch, and counting does without

        windows = np.concatenate(list(Hidden.rows(stream, context)) or [np.zeros((0, 2), np.int64)])
        scored = np.arange(len(windows)) if where is None else np.flatnonzero(where)
        windows = windows[scored]
        targets = len(windows) * answers.of_a_row
        return cls(
            documents=scored,
            places=np.zeros(len(windows), np.int64),
            digests=np.array([_digest(row.tobytes()) for row in windows], np.uint64),
            sums={
                name: column[:targets].astype(np.float64).reshape(len(windows), -1).sum(1)
                for name, column in answers.columns().items()
            },
            mixed=None,
            whole=where is None or bool(where.all()),
            metric=metric,
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
            digests=np.array(digests, np.uint64),
            sums={
                "nats": np.diff(up_to_edges(nats))[filled],
                "bytes": np.diff(edges)[filled],
                "tokens": np.diff(up_to_edges(np.ones(len(nats))))[filled],
            },
            mixed=None if mixed is None else np.diff(up_to_edges(mixed))[filled],
            whole=whole and bool(where.all()),
        )
        ended = whole or not len(stream) or stream[-1] == tokenizer.end_of_text or not where[-1]
        # A cell that more text would have filled is not the same cell in a run that had the time to go on.
        if ended or scores.sizes[-1:].sum() >= CELL_BYTES:
            return scores
        return scores.cells(np.arange(len(scores.digests) - 1))

    def cells(self, chosen: np.ndarray) -> Self:
        """Some of the cells, by their numbers in rising order."""
        return replace(
            self,
            documents=self.documents[chosen],
            places=self.places[chosen],
            digests=self.digests[chosen],
            sums={name: values[chosen] for name, values in self.sums.items()},
            mixed=None if self.mixed is None else self.mixed[chosen],
            whole=self.whole and len(chosen) == len(self.digests),
        )

    def keys(self) -> np.ndarray:
        """int64 [C], rising: where in the text each cell is."""
        return (self.documents << 32) | self.places

    @property
    def sizes(self) -> np.ndarray:
        """int64 [C]: how much was scored, of what the metric divides by: bytes, or targets."""
        return self.sums[self.metric.denominator].astype(np.int64)

    @property
    def size(self) -> int:
        return int(self.sizes.sum())

    @property
    def losses(self) -> np.ndarray:
        """float64 [C]: what counts against model/ by the metric: its nats, or the targets that it missed."""
        counted = self.sums[self.metric.numerator].astype(np.float64)
        return self.sizes - counted if self.metric.higher_is_better else counted

    @property
    def best(self) -> np.ndarray:
        """As `losses`, with all that the run keeps: of the mixture where there is one."""
        return self.losses if self.mixed is None else self.mixed

    def mean_loss(self, losses: np.ndarray) -> float:
        """In the metric's unit, of losses [C]: bits per byte, nats a target, or the share that was missed."""
        return self.metric.of_ratio(float(losses.sum()) / max(1, self.size))

    # Files

    def save(self, path: Path) -> None:
        """Raises OSError."""
        beside = path.with_name(f".{path.name}.part")
        columns = {
            "documents": self.documents.astype(np.int32),
            "places": self.places.astype(np.int32),
            "digests": self.digests,
            "whole": np.array(self.whole),
            "version": np.array(VERSION),
            "cell_bytes": np.array(CELL_BYTES),
            "metric": np.array(json.dumps(self.metric.to_json())),
            **{f"sum.{name}": values for name, values in self.sums.items()},
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
            version = int(columns.get("version", 1))
            if version > VERSION:
                raise ValueError(f"version {version}, and this daybreak reads up to {VERSION}")
            documents = columns["documents"].astype(np.int64)
            # Runs of older versions scored a beginning of the text and kept no places.
            places = columns["places"].astype(np.int64) if "places" in columns else _counted(documents)
            if version == 1:
                metric, sums = _first_version(columns)
            else:
                metric = Metric.from_json(json.loads(str(columns["metric"])))
                sums = {name[4:]: values for name, values in columns.items() if name.startswith("sum.")}
            if not {metric.numerator, metric.denominator} <= sums.keys():
                raise ValueError(f"no sums of {metric.numerator} and {metric.denominator}")
            return cls(
                documents=documents,
                places=places,
                digests=columns["digests"],
                sums=sums,
                mixed=columns.get("mixed"),
                whole=bool(columns["whole"]),
                metric=metric,
            )
        except (OSError, ValueError, KeyError, UsageError, zipfile.BadZipFile) as error:
            raise ResourceError(
                "the held-out scores cannot be read",
                received=f"{path}: {error}",
                attempt=f"rm '{path}', then repeat the command: the text is scored again",
            ) from None


def _first_version(columns: dict[str, np.ndarray]) -> tuple[Metric, dict[str, np.ndarray]]:
    """The metric and the sums of a file without a version.

    It has sizes and nats alone. Where tokens were hidden, sizes are targets, and "nats" ln 2 times what was missed of
    them, or times their nats.
    """
    metric = METRICS[str(columns.get("headline", BITS_PER_BYTE.name))]
    sizes, nats = columns["sizes"].astype(np.int64), columns["nats"]
    if metric.of_text:
        return metric, {"nats": nats, "bytes": sizes}
    losses = nats / np.log(2)
    return metric, {metric.numerator: sizes - losses if metric.higher_is_better else losses, metric.denominator: sizes}


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
    if not scores.size:
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
