"""Scores: nats of a text by places in its bytes, so that runs whose tokenizers differ are compared on the same text."""

import contextlib
import hashlib
import itertools
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from daybreak.core.errors import DataError, ResourceError
from daybreak.core.headlines import BITS_PER_BYTE, Headline
from daybreak.core.run import Run
from daybreak.data.tokenizers import Tokenizer

if TYPE_CHECKING:
    from daybreak.stages.bench import Bench
    from daybreak.stages.evaluate import Loaded
    from daybreak.stages.exams import Answers

CELL_BYTES = 512  # finer than any block that is made of them, and a megabyte has only two thousand
KEPT_TOKENS = 1_000_000  # of the held-out text, at most
KEPT_TOKENS_A_SECOND = 5000  # of the budget: keeping them takes about a thousandth of it


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """A document is cut into cells of CELL_BYTES from its beginning; its last cell may be shorter.

    A token that crosses from one cell into the next gives each a part of its nats, by the bytes it has there.
    """

    documents: np.ndarray  # int64 [C]: of which document each cell is, counted from 0
    sizes: np.ndarray  # int64 [C]: bytes
    digests: np.ndarray  # uint64 [C]: of the bytes
    nats: np.ndarray  # float64 [C], of model/ alone
    mixed: np.ndarray | None  # float64 [C], of the mixture where the run has one
    whole: bool  # all of the text, not only a beginning that the time sufficed for
    headline: str = BITS_PER_BYTE.name  # what sizes and nats are of, where tokens are hidden; see `of_hidden`

    @classmethod
    def of_hidden(
        cls, stream: np.ndarray, answers: "Answers", headline: Headline, context: int, *, whole: bool
    ) -> Self:
        """A cell is a window, its size the targets in it, and its nats ln 2 times what is counted against the model.

        These are the targets that it missed, or its nats of all. So `bits_per_byte` is the share of what is missed, or
        the nats of a target. stream: tokens [n]. Windows of other tokens or another width are another text.
        """
        from daybreak.stages.exams import Hidden  # which needs torch, and counting does without

        windows = np.concatenate(list(Hidden.rows(stream, context)) or [np.zeros((0, 2), np.int64)])
        windows = windows[: len(answers) // max(1, answers.of_a_row)]
        against = answers.nats if not headline.higher else ~answers.hits  # type: ignore[operator]
        table = against[: len(windows) * answers.of_a_row].reshape(len(windows), -1).astype(np.float64)
        return cls(
            documents=np.arange(len(windows)),
            sizes=np.full(len(windows), answers.of_a_row),
            digests=np.array([_digest(row.tobytes()) for row in windows], np.uint64),
            nats=table.sum(1) * np.log(2),
            mixed=None,
            whole=whole,
            headline=headline.name,
        )

    @classmethod
    def of(
        cls, stream: np.ndarray, tokenizer: Tokenizer, nats: np.ndarray, mixed: np.ndarray | None, *, whole: bool
    ) -> Self:
        """stream: tokens [n] with the end-of-text token before each document; nats, mixed: [n] or a beginning."""
        stream = stream[: len(nats)]
        text = b"".join([tokenizer.bytes_of(token) for token in stream.tolist()])
        token_sizes = tokenizer.token_bytes[stream].astype(np.int64)
        ends = np.cumsum(token_sizes)
        opening = np.flatnonzero(stream == tokenizer.end_of_text)
        first = [] if len(opening) and opening[0] == 0 else [0]
        starts = np.concatenate([np.array(first, np.int64), ends[opening]])
        documents, edges = _cells(starts, len(text))
        inside = token_sizes > 0

        def by_cell(values: np.ndarray) -> np.ndarray:
            # The sum up to a byte, interpolated: so a token on an edge is split by its bytes.
            sums = np.concatenate([[0.0], np.cumsum(values[inside], dtype=np.float64)])
            return np.diff(np.interp(edges, np.concatenate([[0], ends[inside]]), sums))

        bounds = edges.tolist()
        digests = [_digest(text[a:b]) for a, b in itertools.pairwise(bounds)]
        scores = cls(
            documents=documents,
            sizes=np.diff(edges),
            digests=np.array(digests, np.uint64),
            nats=by_cell(nats),
            mixed=None if mixed is None else by_cell(mixed),
            whole=whole,
        )
        ended = whole or not len(stream) or stream[-1] == tokenizer.end_of_text
        # A cell that more text would have filled is not the same cell in a run that had the time to go on.
        return scores if ended or scores.sizes[-1:].sum() >= CELL_BYTES else scores.first(len(documents) - 1)

    def first(self, cells: int) -> Self:
        """A beginning of the text."""
        return replace(
            self,
            documents=self.documents[:cells],
            sizes=self.sizes[:cells],
            digests=self.digests[:cells],
            nats=self.nats[:cells],
            mixed=None if self.mixed is None else self.mixed[:cells],
            whole=self.whole and cells == len(self.sizes),
        )

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
                raise ValueError(f"cells of {columns['cell_bytes']} bytes")
            return cls(
                documents=columns["documents"].astype(np.int64),
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
                attempt=f"rm '{path}', and the same command again: the text is scored anew",
            ) from None


def common_cells(scores: Sequence[Scores]) -> int:
    """How many cells at the beginning all have. 0 where the texts are not the same, as far as they were scored."""
    least = min(len(one.sizes) for one in scores)
    first = scores[0]
    for other in scores[1:]:
        if not (
            np.array_equal(first.digests[:least], other.digests[:least])
            and np.array_equal(first.documents[:least], other.documents[:least])
        ):
            return 0
    longest, wholes = max(len(one.sizes) for one in scores), [len(one.sizes) for one in scores if one.whole]
    if wholes and longest > min(wholes):
        return 0
    return least


def keep_scores(bench: "Bench", stream: np.ndarray, nats: np.ndarray, mixed: np.ndarray | None = None) -> None:
    """Writes what the end of a run has scored, so that `compare` need not score it again. Costs no run its end.

    Of a long text a beginning is kept, so that this takes a small share of the budget.
    """
    kept = min(len(nats), KEPT_TOKENS, int(KEPT_TOKENS_A_SECOND * bench.plan.budget.seconds))
    try:
        for file in (bench.run.scores_file, bench.run.task_scores_file):
            file.unlink(missing_ok=True)  # of an earlier model, where a run was continued
        beginning = stream[:kept], bench.tokenizer, nats[:kept], None if mixed is None else mixed[:kept]
        Scores.of(*beginning, whole=kept == len(bench.heldout)).save(bench.run.scores_file)
    except Exception as error:  # whatever it is, the model is there
        with contextlib.suppress(OSError):
            bench.warn(f"the held-out scores could not be written: {error}")


def keep_hidden(bench: "Bench", stream: np.ndarray, answers: "Answers", context: int) -> None:
    """As `keep_scores`, of a model that is judged by what is hidden from it."""
    try:
        bench.run.scores_file.unlink(missing_ok=True)
        whole = len(stream) == len(bench.heldout)
        Scores.of_hidden(stream, answers, bench.plan.headline, context, whole=whole).save(bench.run.scores_file)
    except Exception as error:  # whatever it is, the model is there
        with contextlib.suppress(OSError):
            bench.warn(f"the held-out scores could not be written: {error}")


def of_heldout(path: str | Path) -> Scores:
    """Of the run's own held-out text: those that its end wrote, or, where there are none, scored now and kept.

    Raises UsageError: no such run, or one without a model.
    """
    run = Run.open(path)
    if run.scores_file.exists():
        return Scores.read(run.scores_file)
    from daybreak.stages.evaluate import heldout_stream, load

    loaded = load(path)
    scores = _scored(loaded, heldout_stream(loaded.run, loaded.plan), fitted_on_it=True)
    with contextlib.suppress(OSError):  # a folder that may only be read is scored again by the next command
        scores.save(run.scores_file)
    return scores


def on_text(path: str | Path, on: tuple[str, ...], skipped: list[str] | None = None) -> Scores:
    """Of any text. skipped: is given sentences on what of it is not read.

    Raises UsageError as `load`, and DataError: no text.
    """
    from daybreak.stages.evaluate import load, stream_of

    loaded = load(path)
    return _scored(loaded, stream_of(loaded.tokenizer, on, skipped), fitted_on_it=False)


def _scored(loaded: "Loaded", stream: np.ndarray, *, fitted_on_it: bool) -> Scores:
    """fitted_on_it: the mixture's weights come from this very text, so each half is scored with the other's."""
    from daybreak.models.predictors import Mixture, nats_of
    from daybreak.stages.exams import exam_of, stream_windows
    from daybreak.stages.gaps import Filler

    if isinstance(loaded.alone, Filler):
        answers = exam_of(loaded.plan, loaded.tokenizer).put(loaded.alone.module, stream)
        return Scores.of_hidden(stream, answers, loaded.plan.headline, loaded.context_length, whole=True)
    windows = stream_windows(stream, loaded.tokenizer.end_of_text, loaded.context_length)
    nats = nats_of(loaded.alone, windows, stream)
    mixed = None
    if isinstance(loaded.predictor, Mixture):
        mixing = loaded.predictor.cross_fitted if fitted_on_it else loaded.predictor.mixed
        mixed = mixing(nats, stream)
    scores = Scores.of(stream, loaded.tokenizer, nats, mixed, whole=True)
    if not scores.bytes:
        raise DataError("there is no text to score", received=str(loaded.run), attempt="--on FILE with text in it")
    return scores


def _cells(starts: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """The document of each cell [C] and the edges [C + 1] in bytes, of documents that start at [D] and fill `end`."""
    lengths = np.diff(np.append(starts, end))
    counts = -(-lengths // CELL_BYTES)
    documents = np.repeat(np.arange(len(starts)), counts)
    within = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)
    return documents, np.append(starts[documents] + within * CELL_BYTES, end).astype(np.int64)


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
