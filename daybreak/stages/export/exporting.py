"""Export: a run's model in another program's format, opened there, asked the same, and kept only where it agrees."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from daybreak.core import units
from daybreak.core.errors import ResourceError, UsageError, nearest
from daybreak.core.run import Run
from daybreak.core.values import Json
from daybreak.engine import faults
from daybreak.evaluation.loaded import Loaded, load
from daybreak.evaluation.parity import compared, texts_of
from daybreak.models.checkpoints.special_tokens import spelled
from daybreak.models.exports import Source, format_of
from daybreak.views import cards, report_page


def export(
    path: str | Path,
    to: str,
    *,
    out: str | Path = "",
    precision: str = "float32",
    prompts: Sequence[str] = (),
    told: Callable[[str], None] = lambda line: None,
) -> Json:
    """Writes a run's `model/` in a format, into `out` or RUN/exports/FORMAT; nothing is left where a check fails.

    to: one of models.exports.EXTRAS. precision: of the weights, one of the format's PRECISIONS. prompts: texts to
    compare on; else from the held-out text. told: what is going on, in words. The keys are those of
    `daybreak export --json`. Raises UsageError: no such format or precision, a model that the format cannot hold, or a
    folder that exists. DataError: the other program does not agree. MissingPackage: a library is not installed.
    ResourceError: the disk is full.
    """
    form = format_of(to)
    if precision not in form.PRECISIONS:
        raise UsageError(
            f"--to {to} does not support this precision",
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
            attempt="use another --to, or a run without what this format does not support",
        )
    name = to if precision == "float32" else f"{to}-{precision}"
    folder = Path(out) if out else loaded.run.exports_folder / name
    with _kept_if_right(folder) as aside:
        told(f"writing {to}, {precision} ...")
        form.write(source, aside, precision)
        told("opening the export and comparing ...")
        with contextlib.closing(form.opened(aside, source, precision)) as opened:
            texts, which = texts_of(loaded, prompts)
            found = compared(source, opened, loaded, texts, precision) | {"texts": which}
        found |= {"run": str(loaded.run), "to": to, "precision": precision, "folder": str(folder)}
        # Whose inputs the model has, and whether its graph takes keys and values of what came before.
        found |= {"family": source.family.exported_as, "cached": source.own()}
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
            received=f"{loaded.run}, which holds n-gram counts and no network",
            attempt="use a run of another family; only daybreak can read n-gram counts",
        )
    folder, tokenizer, specials = loaded.run.model_folder, loaded.tokenizer, loaded.plan.tokenizer.specials
    known = {tokenizer.vocabulary - 1, *spelled(specials).values()}
    return Source(
        folder=folder,
        module=module,
        tokenizer=json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")),
        known=1 + max(known),
        end_of_text=tokenizer.end_of_text,
        token=tokenizer.end_of_text_token,
        specials=specials,
    )


def _write_card(run: Run, folder: Path, found: Json) -> None:
    facts = report_page.read(run)
    (folder / "README.md").write_text(cards.card(facts, found), encoding="utf-8")


@contextlib.contextmanager
def _kept_if_right(folder: Path) -> Iterator[Path]:
    """An empty folder aside, which becomes `folder` where all goes well, and is gone otherwise."""
    if folder.exists():
        raise UsageError(
            "the output folder already exists",
            received=str(folder),
            attempt="remove that folder, or name another one with --out",
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
                "the export could not be written",
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


def lines(found: Json) -> list[str]:
    """What was found, for a terminal."""
    result = [
        f"{found['to']}, {found['precision']}: {units.size(found['bytes'])} in {len(found['files'])} files",
        f"opened by {found['program']}",
        (
            f"largest difference of a logit: {found['largest_logit_difference']:.2g} at "
            f"{found['compared_positions']:,} positions (at most {found['tolerance']:.2g} "
            "is allowed)"
        ),
    ]
    if "continued_tokens" in found:
        result += [
            f"greedy decoding: the same {found['continued_tokens']} tokens after {found['continued_alike']} of "
            f"{found['prompts']} prompts",
            f"{found['tokens_per_second']:,.0f} tokens/s there, {found['tokens_per_second_here']:,.0f} in daybreak",
        ]
    result.append(f"prompts: {found['texts']}")
    if found["left_behind"]:
        result.append(
            f"model/ alone is exported: {found['left_behind']}, which daybreak mixes in, "
            "cannot be stored in this format"
        )
    return [*result, "", f"export  {found['folder']}"]
