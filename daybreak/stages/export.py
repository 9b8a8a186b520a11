"""Export: a run's model in another program's format, opened there, asked the same, and kept only where it agrees."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from daybreak.core import units
from daybreak.core.errors import DaybreakError, DataError, ResourceError, UsageError, nearest
from daybreak.core.run import Run
from daybreak.engine import faults
from daybreak.models import decoding
from daybreak.models.decoder import Decoder
from daybreak.models.exports import Opened, Source, format_of, traced
from daybreak.stages import report
from daybreak.stages.evaluate import Loaded, decoder_for, heldout_stream, load
from daybreak.views import cards

PROMPTS, PROMPT_TOKENS, CONTINUED_TOKENS = 10, 32, 64
# The largest difference of a logit: as it is in float32; else as a part of the largest logit of ours.
EXACT = 1e-4
ROUNDED = {"float16": 0.01, "bfloat16": 0.05, "q8_0": 0.1}
# For texts that no prompt is given for, where the run's held-out text is not there any more.
SPARE_PROMPTS = (
    "It was a bright cold day, and",
    "The first chapter of",
    "In the year 1905,",
    "def read(path):\n    ",
    "\n\n",
    "春天来了，",
    "第一章　总则",
    "这个软件的安装方法是：",
    "🙂 ok?",
    "",
)


def export(
    path: str | Path,
    to: str,
    *,
    out: str | Path = "",
    precision: str = "float32",
    prompts: Sequence[str] = (),
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Writes a run's `model/` in a format, into `out` or RUN/exports/FORMAT; nothing is left where a check fails.

    to: one of models.exports.EXTRAS. precision: of the weights, one of the format's PRECISIONS. prompts: texts to compare on; else from the held-out text. told: what is going on, in words. The keys are
    those of `daybreak export --json`. Raises UsageError: no such format or precision, a model that the format cannot
    hold, or a folder that exists. DataError: the other program does not agree. ResourceError: a library is not
    installed, or the disk is full.
    """
    form = format_of(to)
    if precision not in form.PRECISIONS:
        raise UsageError(
            f"--to {to} has no such precision",
            received=f"--precision {precision}",
            attempt=nearest(precision, form.PRECISIONS),
        )
    loaded = load(path, device="cpu")
    source = source_of(loaded)
    reason = form.refuses(source)
    if reason:
        raise UsageError(
            f"the model cannot be exported to {to}",
            received=reason,
            attempt="another --to, or a run without what the format does not have",
        )
    name = to if precision == "float32" else f"{to}-{precision}"
    folder = Path(out) if out else loaded.run.exports_folder / name
    with _kept_if_right(folder) as aside:
        told(f"writing {to}, {precision} ...")
        form.write(source, aside, precision)
        told("opening it and comparing ...")
        with contextlib.closing(form.opened(aside, source, precision)) as opened:
            found = compared(source, opened, loaded, texts_of(loaded, prompts), precision)
        found |= {"run": str(loaded.run), "to": to, "precision": precision, "folder": str(folder)}
        found["left_behind"] = "mixture/" if any(loaded.run.mixture_folder.glob("*.json")) else ""
        _write_card(loaded.run, aside, found)
        sizes = {str(p.relative_to(aside)): p.stat().st_size for p in sorted(aside.rglob("*")) if p.is_file()}
    return {**found, "bytes": sum(sizes.values()), "files": sizes}


def source_of(loaded: Loaded) -> Source:
    """Raises UsageError: counts, which no other program has a format for."""
    module = getattr(loaded.alone, "module", None)
    if module is None:
        raise UsageError(
            "an n-gram model cannot be exported",
            received=f"{loaded.run}, which holds counts of its text and no network",
            attempt="a run of another family; daybreak alone reads counts",
        )
    folder, tokenizer = loaded.run.model_folder, loaded.tokenizer
    return Source(
        folder=folder,
        module=module,
        tokenizer=json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")),
        known=tokenizer.vocabulary,
        end_of_text=tokenizer.end_of_text,
        token=tokenizer.end_of_text_token,
    )


def texts_of(loaded: Loaded, prompts: Sequence[str]) -> list[str]:
    """Those that are given, or pieces of the held-out text from its whole length."""
    if prompts:
        return list(prompts)
    try:
        stream = heldout_stream(loaded.run, loaded.plan)
    except (DaybreakError, OSError):
        return list(SPARE_PROMPTS)
    size = min(PROMPT_TOKENS, max(1, loaded.context_length // 4))
    places = np.linspace(0, max(0, len(stream) - size), PROMPTS).astype(int)
    return [loaded.tokenizer.decode(stream[place : place + size].tolist()) for place in places]


@dataclass
class Agreement:
    """What was found so far. limit: of a logit's difference."""

    largest: float = 0.0
    limit: float = EXACT
    places: int = 0
    equal: int = 0
    cut_alike: int = 0


def compared(source: Source, opened: Opened, loaded: Loaded, texts: list[str], precision: str) -> dict[str, Any]:
    """Figures of the comparison. Raises DataError: the programs do not agree."""
    rows = [_row(source, loaded, text) for text in texts]
    agreement = Agreement()
    cut = [opened.encode(text) for text in texts]
    for text, tokens in zip(texts, cut, strict=True):
        ours = [source.end_of_text, *loaded.tokenizer.encode(text)]
        if tokens is not None and tokens != ours:
            raise _different(opened, f"the tokens of {text[:60]!r}: {tokens[:12]} there, {ours[:12]} here")
    result: dict[str, Any] = {"program": opened.program, "prompts": len(texts)}
    if source.family == "gpt":
        result |= _continued(source, opened, rows, agreement, precision)
    _logits(source, opened, rows, agreement, precision)
    return {
        **result,
        "tokenizer_compared": cut[0] is not None,
        "largest_logit_difference": agreement.largest,
        "tolerance": agreement.limit,
        "compared_positions": agreement.places,
        "parameters": source.shape.parameters(),
    }


def _row(source: Source, loaded: Loaded, text: str) -> list[int]:
    """A text as it is put in: what ended the text before it, then its tokens, as many as fit."""
    return [source.end_of_text, *loaded.tokenizer.encode(text)][: source.shape.context_length]


def _logits(source: Source, opened: Opened, rows: list[list[int]], agreement: Agreement, precision: str) -> None:
    """Every row by itself, so that lengths vary, and the first ones as one batch. Raises DataError."""
    shortest = min(map(len, rows))
    batches = [np.array([row]) for row in rows]
    batches.append(np.array([row[:shortest] for row in rows[:4]]))
    signature = traced.SIGNATURES[source.family]
    for tokens_BT in batches:
        inputs = signature.of(torch.from_numpy(tokens_BT))
        with torch.inference_mode():
            ours = source.module(*inputs)[..., : source.known].numpy()
        theirs = opened.logits(*(part.numpy() for part in inputs))[..., : source.known]
        agreement.largest = max(agreement.largest, float(np.abs(theirs - ours).max()))
        agreement.places += ours[..., 0].size
        if precision in ROUNDED:
            agreement.limit = max(agreement.limit, ROUNDED[precision] * float(np.abs(ours).max()))
    if not agreement.largest <= agreement.limit:  # a number that is none is no agreement
        raise _different(opened, f"logits differ by up to {agreement.largest:.2g}, and {agreement.limit:.2g} may be")


def _continued(
    source: Source, opened: Opened, rows: list[list[int]], agreement: Agreement, precision: str
) -> dict[str, Any]:
    """Greedy texts of both, and their speeds; the rows become as long as these texts. Raises DataError in float32."""
    ours, our_rate = _greedy(decoder_for(source.module), source, rows)
    theirs, rate = _greedy(opened, source, rows)
    tied = 0
    for row, one, other in zip(rows, ours, theirs, strict=True):
        if one != other:
            if precision == "float32" and not _tie(source, row, one, other):
                raise _different(opened, f"the likeliest text after {len(row) - 1} tokens: {other} there, {one} here")
            tied += 1
        row.extend(one[: source.shape.context_length - len(row)])
    return {
        "continued_tokens": CONTINUED_TOKENS,
        "continued_alike": len(rows) - tied,
        "tokens_per_second": rate,
        "tokens_per_second_here": our_rate,
    }


def _greedy(decoder: Decoder, source: Source, rows: list[list[int]]) -> tuple[list[list[int]], float]:
    """The likeliest text after each row, and tokens per second, without the first row: it warms the program up."""
    found: list[list[int]] = []
    begun, warm = time.perf_counter(), 0
    for index, row in enumerate(rows):
        tokens = decoding.generate(
            decoder,
            row[1:],
            max_tokens=CONTINUED_TOKENS,
            end_of_text=source.end_of_text,
            seed=0,
            temperature=0.0,
            known_tokens=source.known,
        )
        found.append(list(tokens))
        if not index and len(rows) > 1:
            begun, warm = time.perf_counter(), len(found[0])
    # The token that ends a text was computed, too, and is not among them.
    computed = sum(min(CONTINUED_TOKENS, len(text) + 1) for text in found) - min(CONTINUED_TOKENS, warm + 1) * bool(
        warm
    )
    return found, computed / max(1e-9, time.perf_counter() - begun)


def _tie(source: Source, row: list[int], one: list[int], other: list[int]) -> bool:
    """Whether the two texts part where the likeliest tokens are equally likely for us, within the tolerance."""
    end = [source.end_of_text]
    first = next(i for i, (a, b) in enumerate(zip(one + end, other + end, strict=False)) if a != b)
    tokens = [*row, *one[:first]][-source.shape.context_length :]
    with torch.inference_mode():
        logits_V = source.module(torch.tensor([tokens]))[0, -1]
    chosen, instead = (*one, *end)[first], (*other, *end)[first]
    return float(logits_V[chosen] - logits_V[instead]) <= 2 * EXACT


def _different(opened: Opened, what: str) -> DataError:
    return DataError(
        "the exported model is not the same model, so it is not kept",
        received=f"{opened.program}: {what}",
        attempt="another --precision or --to; in float32 this is a defect of daybreak's or of that program",
    )


def _write_card(run: Run, folder: Path, found: dict[str, Any]) -> None:
    facts = report.read(run)
    (folder / "README.md").write_text(cards.card(facts, found), encoding="utf-8")


@contextlib.contextmanager
def _kept_if_right(folder: Path) -> Iterator[Path]:
    """An empty folder aside, which becomes `folder` where all goes well, and is gone otherwise."""
    if folder.exists():
        raise UsageError(
            "there is something in the place of the export",
            received=str(folder),
            attempt="take it away, or name another folder with --out",
        )
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)  # of an export that was killed
    above = _first_missing(folder)
    try:
        aside.mkdir(parents=True)
        faults.at("export.write")
        yield aside
        faults.at("export.rename")
        aside.rename(folder)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if above is not None and above != folder:
            with contextlib.suppress(OSError):
                _remove_empty(above, aside.parent)
        if isinstance(error, OSError) or type(error).__name__ in ("SafetensorError",):
            raise ResourceError(
                "the export cannot be written",
                received=f"{folder}: {getattr(error, 'strerror', None) or error}",
                attempt="free some disk space, or name a folder that you may write with --out",
            ) from None
        raise


def _first_missing(folder: Path) -> Path | None:
    """The highest folder that will have to be made."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


def _remove_empty(top: Path, lowest: Path) -> None:
    """The folders from the lowest up to the top, as long as they are empty. Raises OSError."""
    while lowest != top.parent:
        lowest.rmdir()
        lowest = lowest.parent


def lines(found: dict[str, Any]) -> list[str]:
    """What was found, for a terminal."""
    result = [
        f"{found['to']}, {found['precision']}: {units.size(found['bytes'])} in {len(found['files'])} files",
        f"opened by {found['program']}",
        f"largest difference of a logit: {found['largest_logit_difference']:.2g} "
        f"at {found['compared_positions']:,} places (at most {found['tolerance']:.2g})",
    ]
    if "continued_tokens" in found:
        result += [
            f"likeliest text: {found['continued_alike']} of {found['prompts']} the same "
            f"for {found['continued_tokens']} tokens",
            f"{found['tokens_per_second']:,.0f} tokens/s; daybreak itself {found['tokens_per_second_here']:,.0f}",
        ]
    if found["left_behind"]:
        result.append(
            f"model/ alone: {found['left_behind']}, which is mixed in by daybreak, has no place in the format"
        )
    return [*result, "", f"export  {found['folder']}"]
