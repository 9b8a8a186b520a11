"""The command line: one subcommand a verb; parse, call, print."""

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from daybreak.core import failures, process, terminal, units
from daybreak.core.errors import DaybreakError, Interrupted, NotRepeatable, UsageError
from daybreak.core.request import FIELDS, OPTIONS, USUAL_BUDGET, Request, request_of, usual_of
from daybreak.core.run import Run
from daybreak.parser import Command, Commands, among, in_three_parts, run_folders, techniques

app = typer.Typer(
    name="daybreak",
    no_args_is_help=True,
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
TRAIN, USE, LOOK, MEASURE = "Train", "Use a model", "Look at runs", "Measure"
LANGUAGES = ("en", "zh")


def _version(asked: bool) -> None:
    if asked:
        import daybreak

        print(f"daybreak {daybreak.__version__}")
        raise typer.Exit


@app.callback()
def _daybreak(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """Text, any machine and a deadline in; by the deadline a usable language model out."""


def command(group: str, example: str, name: str | None = None) -> Any:
    """A command under a heading of the help, with an example of its use."""
    return app.command(name, cls=Command, rich_help_panel=group, epilog=example)


_COMPLETED = {
    "include": techniques,
    "exclude": techniques,
    "family": among("gpt", "bert", "t5", "lstm", "ngram"),
    "tokenizer": among("auto", "bytes", "characters", "bpe", "wordpiece", "unigram", "words"),
    "device": among("cpu", "cuda", "mps"),
    "parent": run_folders,
}


def _annotated(name: str) -> tuple[Any, Any]:
    """The type and the option of a request's field, as the parser takes them."""
    option, kind = OPTIONS[name], FIELDS[name].type
    if not option.flag:
        return list[str] | None, typer.Argument(metavar=f"[{option.metavar}]...", help=option.help)
    told: dict[str, Any] = {"help": option.help, "rich_help_panel": option.group or None}
    if name in _COMPLETED:
        told["autocompletion"] = _COMPLETED[name]
    if kind is bool:
        flag = f"{option.flag}/{option.off}" if option.off else option.flag
        return bool, typer.Option(flag, **told)
    told |= {"metavar": option.metavar, "show_default": bool(usual_of(name))}
    if kind in (int, str):
        told |= {"min": option.least, "max": option.most} if kind is int else {}
        return kind, typer.Option(option.flag, **told)
    return str if kind is float else list[str] | None, typer.Option(option.flag, **told)


def _ungrouped(name: str) -> Any:
    """The option of a request's field, for a command with few options."""
    _, option = _annotated(name)
    option.rich_help_panel = None
    return option


def asks(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of a request's fields (none named: all), and their values as its `asked`."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        own = dict(inspect.signature(command).parameters)
        parameters, keywords = [], set()
        for parameter in own.values():
            if parameter.name != "asked":
                parameters.append(parameter)
                continue
            for name in names or OPTIONS:
                kind, option = _annotated(name)
                keywords.add(OPTIONS[name].name)
                # A budget that is given and empty is a mistake; one that is not given is the usual one.
                budget = name in ("seconds", "until")
                usual = usual_of(name) if FIELDS[name].type in (str, int, bool) and not budget else None
                parameters.append(
                    inspect.Parameter(
                        OPTIONS[name].name,
                        inspect.Parameter.KEYWORD_ONLY,
                        default=usual,
                        annotation=Annotated[kind, option],
                    )
                )

        @functools.wraps(command)
        def parsed(**given: Any) -> None:
            asked = {keyword: given.pop(keyword) for keyword in keywords}
            command(**given, asked=asked)

        parsed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        return parsed

    return with_options


def _request(asked: Mapping[str, Any]) -> Request:
    """Raises UsageError."""
    from daybreak.core.clock import boot_seconds, process_start

    if asked["for_"] is None and asked["until"] is None:
        print(f"no --for: as with --for {USUAL_BUDGET}; Ctrl-C keeps what is there", file=sys.stderr, flush=True)
    return request_of(asked, used=boot_seconds() - process_start())


Out = Annotated[str, typer.Option(metavar="FOLDER", help="The run's folder; else runs/ and a name of text and time.")]
Sources = Annotated[list[str] | None, _annotated("sources")[1]]
Heldout = Annotated[str, _ungrouped("heldout")]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="NAME",
        autocompletion=among("ngram_mix", "history_mix"),
        help="Of what the run mixes into the network's predictions, leave this out: ngram_mix, history_mix.",
    ),
]
Seed = Annotated[int, _ungrouped("seed")]
Device = Annotated[str, _ungrouped("device")]
Mirror = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror",
        metavar="TOOL",
        autocompletion=among("tensorboard", "wandb", "trackio"),
        help="Show the run in tensorboard, wandb or trackio. Again for more.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", metavar="FILE", help="Zero-shot questions: a file of JSON lines. Again for more."),
]
Limit = Annotated[int, typer.Option(min=0, metavar="NUMBER", help="At most so many questions of a task; 0: all.")]
Batch = Annotated[int, typer.Option(min=1, metavar="ROWS", help="Rows of a pass of the model; no score depends on it.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunFolder = Annotated[
    str, typer.Argument(metavar="RUN", autocompletion=run_folders, help="A run's folder, such as runs/NAME.")
]


@command(TRAIN, "daybreak run novel.txt --for 20m")
@asks()
def run(asked: dict[str, Any], out: Out = "", mirrors: Mirror = None, as_json: Json = False) -> None:
    """Train the best model that fits the time: scan, probe, plan, encode, train, evaluate."""
    request = _request(asked)
    from daybreak.core.failures import guarded
    from daybreak.stages.run import run as carry_out
    from daybreak.views.progress import Progress

    finished = guarded(lambda: carry_out(request, Progress(), out=out, mirrors=tuple(mirrors or ())))
    _print_finished(finished, as_json)


@command(TRAIN, "daybreak plan novel.txt --for 20m")
@asks()
def plan(
    asked: dict[str, Any],
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Write the plan to this file, or to plan.json in this run folder.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show what `run` would do, and why, before the time is spent."""
    request = _request(asked)
    from daybreak.core.clock import Stopwatch
    from daybreak.core.failures import guarded
    from daybreak.stages.plan import plan_only
    from daybreak.views.terminal import plan_lines

    made = guarded(lambda: plan_only(request, Stopwatch(), out=out))
    if as_json:
        print(terminal.as_json(made.to_json(), indent=1))
    else:
        print("\n".join(plan_lines(made)))
        if out:
            print(f"\nwritten to {out}; edit it, then: daybreak train {out}")


@command(TRAIN, "daybreak prepare novel.txt --out runs/novel")
@asks("sources", "heldout", "include", "exclude", "tokenizer", "cluster")
def prepare(
    asked: dict[str, Any],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="The folder to prepare.")] = "",
    vocabulary: Annotated[
        int, typer.Option(metavar="TOKENS", help="Tokens of the tokenizer, or as many as a small text has.")
    ] = 4096,
    as_json: Json = False,
) -> None:
    """Read and clean text, learn a tokenizer, and write tokens."""
    request = request_of(asked).replace(seconds=0.0, settings={"vocabulary": str(vocabulary)})
    from daybreak.core.failures import guarded
    from daybreak.stages.prepare import prepare_only

    facts = guarded(lambda: prepare_only(request, out=out))
    _print(facts, as_json)


@command(TRAIN, "daybreak train runs/novel")
def train(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PLAN", autocompletion=run_folders, help="A run's folder, or the plan.json that `plan` wrote."
        ),
    ],
    out: Out = "",
    replay: Annotated[bool, typer.Option("--replay", help="Repeat the run from its log, to the last bit.")] = False,
    mirrors: Mirror = None,
    as_json: Json = False,
) -> None:
    """Carry out a plan."""
    from daybreak.core.failures import guarded
    from daybreak.stages.train import train_only
    from daybreak.views.progress import Progress

    finished = guarded(lambda: train_only(path, Progress(), out=out, replay=replay, mirrors=tuple(mirrors or ())))
    _print_finished(finished, as_json)


@command(USE, "daybreak evaluate runs/novel --on test.txt")
def evaluate(
    path: RunFolder,
    on: Annotated[
        list[str] | None, typer.Option("--on", metavar="TEXT", help="Text to score on; else the held-out text.")
    ] = None,
    tasks: Tasks = None,
    limit: Limit = 0,
    batch: Batch = 16,
    harness: Annotated[
        str, typer.Option("--lm-eval", metavar="NAMES", help="Tasks of lm-eval, such as blimp,lambada_openai.")
    ] = "",
    harness_tasks: Annotated[
        str, typer.Option("--lm-eval-tasks", metavar="FOLDER", help="A folder with lm-eval tasks of yours.")
    ] = "",
    device: Device = "",
    as_json: Json = False,
) -> None:
    """Bits per byte and perplexity over all bytes of a text; or scores on zero-shot tasks."""
    from daybreak.core.failures import guarded

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    _known(path, device=device, on=on, tasks=tasks)
    if harness_tasks and not harness:
        raise UsageError(
            "which tasks of the folder is not said",
            received=f"--lm-eval-tasks {harness_tasks}",
            attempt="--lm-eval NAME with it",
        )
    if not (tasks or harness):
        from daybreak.stages.evaluate import evaluate as score

        _print(guarded(lambda: score(path, tuple(on or ()), device=device)), as_json)
        return
    if on or (tasks and harness):
        raise UsageError(
            "one command scores text, tasks, or tasks of lm-eval",
            received=" and ".join(n for n, given in (("--on", on), ("--task", tasks), ("--lm-eval", harness)) if given),
            attempt="one command for each",
        )
    if harness:
        from daybreak.stages.evaluate.tasks import evaluate_lm_eval as asked

        names = [name.strip() for name in harness.split(",") if name.strip()]
        facts = guarded(lambda: asked(path, names, folder=harness_tasks, limit=limit, batch=batch, device=device))
    else:
        from daybreak.stages.evaluate.tasks import evaluate_tasks as answered

        facts = guarded(lambda: answered(path, tasks or [], limit=limit, batch=batch, device=device, told=told))
    if as_json:
        print(terminal.as_json(facts))
        return
    from daybreak.views.answers import lines

    print("\n".join(lines(facts)))


@command(USE, 'daybreak generate runs/novel "It was" --max-tokens 100')
def generate(
    path: RunFolder,
    prompt: Annotated[
        str, typer.Argument(metavar="[PROMPT]", help="The text to continue, or - for standard input.")
    ] = "",
    given: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="The same, for a text that begins with a dash.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="At most this many tokens.")] = 200,
    min_tokens: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="NUMBER",
            help="Tokens before the text may end; else until there is something to see, and 0 at temperature 0.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="How many continuations.")] = 1,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="End before this text. Again for more.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, metavar="NUMBER", help="0 takes the likeliest.")] = 0.8,
    top_p: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Only the likeliest of this mass.")
    ] = 0.95,
    top_k: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Only this many likeliest; 0: all.")] = 0,
    seed: Seed = 0,
    without: Without = None,
    device: Device = "",
    precision: Annotated[
        str,
        typer.Option(
            metavar="DTYPE",
            autocompletion=among("float32", "bfloat16"),
            help="float32, or bfloat16: faster, and rounded.",
        ),
    ] = "float32",
    as_json: Json = False,
) -> None:
    """Continue a text with a run's model; an encoder, or an encoder-decoder, fills the <mask>s in it."""
    if given is not None and prompt:
        raise UsageError("there are two prompts", received=f"{prompt!r} and --prompt", attempt="one of the two")
    prompt = prompt if given is None else given
    _known(path, device=device)
    from daybreak.core.failures import guarded
    from daybreak.evaluation.generation import continuations, cut_prompt, nth, pieces, prompt_tokens
    from daybreak.evaluation.loaded import load
    from daybreak.models.predictors import Sampling
    from daybreak.stages.tokenize import text_of
    from daybreak.tasks.continuation import check_stop
    from daybreak.tasks.fill_mask import CANDIDATES, Filler, filled_json, lines
    from daybreak.views.progress import harmless

    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        min_tokens=min_tokens,
    )
    words = tuple(stop or ())
    check_stop(words)
    prompt = text_of(prompt, "") if prompt == "-" and given is None else prompt
    loaded = guarded(lambda: load(path, device=device, without=tuple(without or ()), precision=precision))
    if isinstance(loaded.alone, Filler):
        filled = guarded(lambda: loaded.predictor.filled(prompt, sampling, count=max(n, CANDIDATES)))
        print(terminal.as_json(filled_json(prompt, filled)) if as_json else "\n".join(lines(filled, n)))
        return
    if cut := cut_prompt(loaded, prompt):
        print(cut, file=sys.stderr, flush=True)
    if as_json:
        texts = continuations(loaded, prompt, sampling, n=n, stop=words)
        count, seen = prompt_tokens(loaded, prompt)
        facts = {"prompt": prompt, "texts": texts, "prompt_tokens": count, "prompt_tokens_seen": seen}
        print(terminal.as_json(facts))
        return
    for index in range(n):
        if n > 1:
            print(f"--- {index + 1}")
        sys.stdout.write(prompt)
        for piece in pieces(loaded, prompt, nth(sampling, index), stop=words):
            sys.stdout.write(harmless(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
        print()


@command(USE, "daybreak export runs/novel --to gguf")
def export(
    path: RunFolder,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            autocompletion=among("hf", "gguf", "onnx", "executorch", "torch-export"),
            help="hf, gguf, onnx, executorch or torch-export.",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="The folder to make; else exports/ in the run.")] = "",
    precision: Annotated[
        str,
        typer.Option(
            metavar="DTYPE",
            autocompletion=among("float32", "bfloat16", "float16", "q8_0"),
            help="Of the weights: float32, bfloat16, float16 or q8_0, as far as the format has it.",
        ),
    ] = "float32",
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="TEXT", help="A text to compare on; else held-out text. Again for more."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run's model for other programs, opened there and compared."""
    _known(path)
    from daybreak.core.failures import guarded
    from daybreak.stages.export import export as exported
    from daybreak.stages.export import lines

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = guarded(lambda: exported(path, to, out=out, precision=precision, prompts=prompts or (), told=told))
    print(terminal.as_json(found) if as_json else "\n".join(lines(found)))


@command(TRAIN, "daybreak sample > novel.txt")
def sample() -> None:
    """Print a text to try things with: the reference manual of this Python, about 700 KB of English."""
    from daybreak.data.builtin import manual

    sys.stdout.write(manual())


@command(LOOK, "daybreak list", "list")
def list_(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="A folder with run folders in it.")] = "runs",
    as_json: Json = False,
) -> None:
    """The runs of a folder, with date, family, figure, time and state."""
    from daybreak.views import listing

    rows: list[dict[str, Any]] = [] if folder == "runs" and not Path(folder).exists() else listing.listed(folder)
    if as_json:
        print(terminal.as_json(rows))
    elif not rows:
        print(f"there are no runs in {folder}", file=sys.stderr)
    else:
        from rich.console import Console

        listing.show(rows, Console(highlight=False))


@command(LOOK, 'daybreak tokenize runs/novel "It was a dark night"')
def tokenize(
    path: Annotated[
        str, typer.Argument(metavar="RUN", autocompletion=run_folders, help="A run's folder, or a tokenizer.json.")
    ],
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="The text, or - for standard input.")] = "",
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="A file to take the text from.")] = "",
    as_json: Json = False,
) -> None:
    """Show how a tokenizer cuts a text."""
    from daybreak.stages import tokenize as cutting

    tokenizer = cutting.tokenizer_of(path)
    given = cutting.text_of(text, file)
    tokens = cutting.tokenize(tokenizer, given)
    if as_json:
        print(terminal.as_json(cutting.to_json(tokenizer, given, tokens)))
        return
    from rich.console import Console

    cutting.show(tokenizer, given, tokens, Console(highlight=False))


@command(MEASURE, "daybreak doctor")
def doctor(device: Device = "", as_json: Json = False) -> None:
    """What this machine can do, measured."""
    _known(device=device)
    from daybreak.core.failures import guarded
    from daybreak.stages.doctor import examined, lines

    found = guarded(lambda: examined(device))
    print(terminal.as_json(found, indent=1) if as_json else "\n".join(lines(found)))


@command(LOOK, "daybreak mirror runs/novel --to tensorboard")
def mirror(
    path: RunFolder,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TOOL",
            autocompletion=among("tensorboard", "wandb", "trackio"),
            help="tensorboard, wandb or trackio.",
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Show a run in another tool, from its records."""
    from daybreak.stages.mirror import mirror as shown

    _print(shown(path, to, follow=follow), as_json)


@command(LOOK, "daybreak report runs/novel")
def report(
    path: RunFolder,
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="en or zh.")
    ] = "en",
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Write the page to this .html file, and the .json beside it.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write a page that tells what a run did, at any moment of it."""
    from daybreak.views import report_page

    page_file, data_file = report_page.write(Run.open(path), language=language, out=out)
    if as_json:
        print(data_file.read_text(encoding="utf-8"), end="")
    else:
        print(f"page    {page_file}\ndata    {data_file}")


@command(LOOK, "daybreak watch runs/novel")
def watch(
    path: RunFolder,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Else 8600, or the next one that is free.", show_default=False
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="en or zh.")
    ] = "en",
    show: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser; else where there is a screen.")
    ] = None,
) -> None:
    """Follow a run on a live page, on this machine alone."""
    from daybreak.stages.watch import watch as follow

    follow(path, port=port, language=language, show=show)


@command(LOOK, "daybreak compare runs/novel runs/novel-long")
def compare(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN RUN...", autocompletion=run_folders, help="Folders of finished runs."),
    ] = None,
    on: Annotated[
        list[str] | None, typer.Option("--on", metavar="TEXT", help="Text to judge on; else the runs' held-out text.")
    ] = None,
    tasks: Tasks = None,
    limit: Limit = 0,
    batch: Batch = 16,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="The .html page to write; with --json none unless named.")
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="en or zh.")
    ] = "en",
    as_json: Json = False,
) -> None:
    """Runs side by side, and which is better, worse, or cannot be told."""
    _known(*(paths or ()), on=on, tasks=tasks)
    from daybreak.core.failures import guarded
    from daybreak.stages.compare import compare as compared
    from daybreak.views import verdicts

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    said = verdicts.words(language)
    if tasks:
        if on or out:
            raise UsageError(
                "with --task it is questions that judge, and no page is written",
                received=" and ".join(name for name, given in (("--on", on), ("--out", out)) if given),
                attempt="--task without these, or these without --task",
            )
        from daybreak.stages.compare.tasks import compare as by_tasks

        _print_by_tasks(
            guarded(lambda: by_tasks(paths or [], tasks, limit=limit, batch=batch, told=told)), said, as_json
        )
        return
    facts = guarded(lambda: compared(paths or [], on or [], told=told))
    page = verdicts.write_page(facts, out or "compare.html", language=language) if out or not as_json else None
    if as_json:
        print(terminal.as_json({**facts, "page": str(page) if page else None}))
        return
    from rich.console import Console

    verdicts.show(facts, said, Console())
    for pair in facts["first_differences"]:
        print(f"\n{pair['run']}, {pair['than']}: {pair['where'] or 'the same in every step and checksum'}")
    print(f"\npage  {page}")


@command(MEASURE, "daybreak baselines novel.txt --for 60s")
def baselines(
    sources: Sources = None,
    duration: Annotated[str, typer.Option("--for", metavar="TIME", help="How long each model may take: 60s, 5m.")] = "",
    models: Annotated[
        str, typer.Option(metavar="NAMES", help="Which ones, of gpt, lstm, rnn and ngram.")
    ] = "gpt,lstm,rnn,ngram",
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="A folder for the runs and baselines.html.")
    ] = "runs/baselines",
    heldout: Heldout = "",
    seed: Seed = 0,
    device: Device = "",
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="Of the page: en or zh.")
    ] = "en",
    as_json: Json = False,
) -> None:
    """What a Transformer buys: each model for the same seconds on the same text, side by side."""
    from daybreak.apps.baselines import baselines as trained
    from daybreak.core import units
    from daybreak.core.failures import guarded
    from daybreak.core.request import Request
    from daybreak.core.run import write_json
    from daybreak.planning import names
    from daybreak.views import verdicts
    from daybreak.views.terminal import baselines_lines

    if not duration:
        raise UsageError("the budget is missing", received="no --for", attempt="--for 5m, which each model then has")
    asked = tuple(name.strip() for name in models.split(",") if name.strip())
    request = Request(
        sources=tuple(sources or ()),
        seconds=units.seconds_of(duration),
        heldout=heldout,
        seed=seed,
        device=device,
    )
    names.check(request)
    found = guarded(
        lambda: trained(request, out=out, models=asked, told=lambda line: print(line, file=sys.stderr, flush=True))
    )
    write_json(Path(out) / "baselines.json", found)
    if found["compared"]:
        verdicts.write_page(found["compared"], str(Path(out) / "baselines.html"), language=language)
    if as_json:
        print(terminal.as_json(found))
        return
    print("\n".join(baselines_lines(found)))
    if found["compared"]:
        print(f"\npage  {Path(out) / 'baselines.html'}")


@command(MEASURE, "daybreak measure runs/novel --for 20m")
def measure(
    path: RunFolder,
    duration: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long it may take, such as 20m; else until all is decided.")
    ] = "",
    techniques: Annotated[
        str, typer.Option(metavar="NAMES", help="Of the plan, such as averaging,bf16; else all that train.")
    ] = "",
    include: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME", autocompletion=techniques, help="Try one that is off. Again for more."),
    ] = None,
    share: Annotated[float, typer.Option(metavar="SHARE", help="Steps of a learning cell, of the run's own.")] = 0.25,
    seeds: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many seeds.")] = 8,
    optimizers: Annotated[bool, typer.Option("--optimizers", help="Compare all optimizers.")] = False,
    norms: Annotated[bool, typer.Option("--norms", help="Compare all kinds of norm.")] = False,
    positions: Annotated[bool, typer.Option("--positions", help="Compare all kinds of position.")] = False,
    device: Device = "",
    as_json: Json = False,
) -> None:
    """Prove what each technique of a run's plan gained, on this machine."""
    Run.open(path)
    _known(device=device)
    from daybreak.core import units
    from daybreak.core.failures import guarded
    from daybreak.stages.measure import measure as measured
    from daybreak.views import gains

    seconds = units.seconds_of(duration) if duration else None
    found = guarded(
        lambda: measured(
            path,
            seconds=seconds,
            names=[name.strip() for name in techniques.split(",") if name.strip()],
            include=include or [],
            share=share,
            most_seeds=seeds,
            optimizers=optimizers,
            norms=norms,
            positions=positions,
            device=device,
            told=lambda line: print(line, file=sys.stderr, flush=True),
            estimated=lambda line: print(line, file=sys.stderr, flush=True),
        )
    )
    if as_json:
        print(terminal.as_json(found))
        return
    from rich.console import Console

    gains.show(found, Console())


def _known(*runs: str, device: str = "", on: Sequence[str] | None = None, tasks: Sequence[str] | None = None) -> None:
    """Checks what a command names before torch is imported. Raises UsageError and DataError."""
    from daybreak.core.run import Run
    from daybreak.planning import names

    for run in runs:
        Run.with_model(run)
    names.check_device(device)
    names.check_sources(on or ())
    for task in tasks or ():
        names.check_file(task, "--task", "a file with a question in each line, as docs/evaluation.md shows")


def _print(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(terminal.as_json(facts))
        return
    from daybreak.views.terminal import fact_lines

    print("\n".join(fact_lines(facts)))


def _print_by_tasks(facts: dict[str, Any], said: dict[str, str], as_json: bool) -> None:
    if as_json:
        print(terminal.as_json(facts))
        return
    from rich.console import Console

    from daybreak.views import answers

    answers.show_comparison(facts, said, Console())


def _print_finished(finished: Any, as_json: bool) -> None:
    if as_json:
        print(terminal.as_json({"run": str(finished.run), **finished.figures, "skipped": finished.skipped}))
    else:
        from daybreak.views.terminal import finished_lines

        print("\n".join(finished_lines(finished)))
    if why := finished.figures.get("deviations"):
        raise NotRepeatable(
            "the run was not carried out as its plan says, and cannot be repeated exactly",
            received="; ".join(why),
            attempt=f"more than --for {units.duration(finished.run.plan().budget.seconds)} where the deadline came too "
            f"early, and another --out; {finished.run.model_folder} can be used",
        )


def _leave(code: int) -> NoReturn:
    """Ends now: taking torch down in order would cost a part of the deadline, and all files are closed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has gone, or the disk behind it is full
            stream.flush()
    os._exit(code)


def main() -> None:
    """The console command."""
    process.leave_working_folder()
    terminal.open_streams()
    _leave(answered(sys.argv[1:]))


def answered(words: Sequence[str]) -> int:
    """Carries out a command line and gives its exit code; errors are told in three parts, without a traceback."""
    try:
        _check_working_folder()
        # The parser turns a Ctrl-C into the number 130.
        returned = app(list(words), prog_name="daybreak", standalone_mode=False)
        sys.stdout.flush()
        if returned == Interrupted.exit_code:
            print("interrupted", file=sys.stderr)
        return returned if isinstance(returned, int) else 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Interrupted.exit_code
    except BrokenPipeError:  # the reader of our output has gone: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return Interrupted.exit_code
    except SystemExit:  # so does the parser end where the reader of our output has gone
        return 0
    except Exception as error:
        return _told(error, words)


def _check_working_folder() -> None:
    """Raises UsageError: it has been removed, and libraries end the process where they look for it."""
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError("the working folder is not there", received=str(error), attempt="cd to a folder") from None


def _told(error: Exception, words: Sequence[str]) -> int:
    """Prints what is wrong in three parts. What has no name is a defect, and its traceback goes to a file."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(str(getattr(error, "message", error)), file=sys.stderr)
        return UsageError.exit_code
    named = error if isinstance(error, DaybreakError) else failures.named(error)
    if hasattr(error, "format_message"):  # typer brings click's errors under names that have changed
        named = in_three_parts(error, words)
    named = named or failures.unknown(error)
    print(f"error: {named}", file=sys.stderr)
    return named.exit_code


if __name__ == "__main__":
    main()
