"""Report page: one page and one JSON file that tell what a run did, from its records alone, at any moment."""

import json
from collections import defaultdict
from pathlib import Path

from daybreak.core import failures, records
from daybreak.core.errors import DaybreakError, UsageError
from daybreak.core.records import Phase
from daybreak.core.run import Run, write_text
from daybreak.core.values import Json
from daybreak.views import pages, report_data
from daybreak.views.run_facts import Facts


def phase_seconds(run: Run) -> dict[str, float]:
    """Seconds of the budget by phase, in the order in which they began; together they are what was used."""
    sums: dict[str, float] = defaultdict(float)
    for record in records.read(run.log_file):
        if isinstance(record, Phase):
            sums[record.name] += record.seconds
    return dict(sums)


def write(run: Run, *, language: str = "en", out: str | Path = "") -> tuple[Path, Path]:
    """Writes the page and the facts as JSON, into the run's folder or to `out` and beside it; their paths.

    Raises UsageError: an unknown language, a page that is no .html, or a place that may not be written.
    """
    facts = read(run)
    page_file, data_file = run.report_file, run.report_data_file
    if out:
        page_file = Path(out)
        if page_file.suffix not in (".html", ".htm"):
            raise UsageError(
                "the report must be an .html file",
                received=f"--out {out}",
                attempt=f"write it like --out {page_file.with_suffix('.html')}",
            )
        data_file = page_file.with_suffix(".json")
    try:
        write_text(data_file, json.dumps(facts, ensure_ascii=False, allow_nan=False) + "\n")
        write_text(page_file, page(facts, language=language))
    except OSError as error:
        raise failures.of_system(
            error,
            what="the report cannot be written",
            place=page_file,
            attempt="name a file that you may write with --out",
        ) from None
    return page_file, data_file


def read(run: Run) -> Json:
    """The facts of a run now."""
    facts = Facts(run)
    facts.read()
    return report_data.of_run(facts)


def page(facts: Json, *, language: str = "en", live: bool = False) -> str:
    """The page as HTML. live: new facts come from the event stream "events". Raises UsageError: an unknown language."""
    data = {
        "facts": report_data.in_language(facts, language),
        "words": pages.words(language),
        "settings": {"live": live},
    }
    return pages.filled(
        title=str(facts.get("name", "")),
        language=language,
        script="report.js",
        before=("sections.js",),
        data=data,
        live=live,
    )


def at_the_end(run: Run) -> str:
    """Writes the report of a run that has just finished; what went wrong, if anything: it must not fail the run."""
    try:
        write(run)
    except DaybreakError as error:
        return f"{error.what}: {error.received}; {error.attempt}, then daybreak report {run}"
    except Exception as error:  # a defect of ours, or memory: the model is there
        return f"the report could not be written: {type(error).__name__}: {error}"
    return ""
