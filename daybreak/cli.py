"""The command line: one subcommand a verb; parse, call, print."""

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from daybreak.core.errors import DaybreakError, Interrupted, UsageError

if TYPE_CHECKING:
    from daybreak.core.types import Request

app = typer.Typer(
    name="daybreak",
    help="Text, any machine and a deadline in; by the deadline a usable language model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Sources = Annotated[
    list[str] | None, typer.Argument(help="Files, folders, globs, or - for standard input; none: the built-in text.")
]
For = Annotated[str, typer.Option("--for", help="How long the whole command may take: 90s, 20m, 8h, 1h30m.")]
Until = Annotated[str, typer.Option(help="When it must be over: 07:00, or a date and time.")]
Out = Annotated[str, typer.Option(help="The run's folder; else runs/ and a name made from text and time.")]
Heldout = Annotated[str, typer.Option(help="A file to score on, in place of a part of the text.")]
Family = Annotated[str, typer.Option(help="gpt, bert, t5, lstm or ngram.")]
TokenizerKind = Annotated[
    str,
    typer.Option(
        "--tokenizer", help="auto, bytes, characters, bpe, wordpiece, unigram, words, or a tokenizer.json to take."
    ),
]
From = Annotated[str, typer.Option("--from", help="Go on from this checkpoint: a run, or a Hugging Face folder.")]
Grow = Annotated[
    int, typer.Option("--grow-vocabulary", min=0, help="With --from: add up to so many tokens for new text.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="A decision of yours, such as layers=8. Again for more.")]
With = Annotated[list[str] | None, typer.Option("--with", help="A technique to use; NAME:SETTING=VALUE.")]
Cluster = Annotated[str, typer.Option(help="Prepare on a Ray cluster: local, auto, ray://HOST:10001.")]
Weight = Annotated[list[str] | None, typer.Option("--weight", help="SOURCE=NUMBER: its part in training.")]
Without = Annotated[list[str] | None, typer.Option("--without", help="A technique to leave out.")]
Native = Annotated[
    bool, typer.Option("--native/--no-native", help="Whether transformers must be able to open the model.")
]
Reproducible = Annotated[bool, typer.Option("--reproducible", help="The same command, the same model to the last bit.")]
Seed = Annotated[int, typer.Option(help="Of everything that is random.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; else the fastest that is here.")]
Mirror = Annotated[
    list[str] | None, typer.Option("--mirror", help="Show the run in tensorboard, wandb or trackio. Again for more.")
]
Tasks = Annotated[
    list[str] | None, typer.Option("--task", help="Zero-shot questions: a file of JSON lines. Again for more.")
]
Limit = Annotated[int, typer.Option(min=0, help="At most so many questions of a task; 0: all.")]
Batch = Annotated[int, typer.Option(min=1, help="Rows of a pass of the model; no score depends on it.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, such as runs/NAME.")]


def _asked(
    sources: list[str] | None,
    duration: str,
    until: str,
    heldout: str,
    family: str,
    parent: str,
    grow: int,
    settings: list[str] | None,
    include: list[str] | None,
    exclude: list[str] | None,
    reproducible: bool,
    seed: int,
    device: str,
    native: bool,
    tokenizer: str,
    weights: list[str] | None,
    cluster: str,
) -> "Request":
    """Raises UsageError."""
    import datetime

    from daybreak.core import units
    from daybreak.core.clock import boot_seconds, process_start
    from daybreak.core.types import Request, with_settings

    if bool(duration) == bool(until):
        raise UsageError(
            "the budget is missing" if not duration else "there are two budgets",
            received="neither --for nor --until" if not duration else f"--for {duration} and --until {until}",
            attempt="one of the two, such as --for 20m or --until 07:00",
        )
    moment = ""
    if until:
        now = datetime.datetime.now()
        end = units.moment_of(until, now)
        moment = end.isoformat()
        seconds = end.timestamp() - now.timestamp() + boot_seconds() - process_start()
    else:
        seconds = units.seconds_of(duration)
    pairs = {}
    for pair in settings or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise UsageError("a setting has a name and a value", received=f"--set {pair}", attempt="--set layers=8")
        pairs[name] = value
    return Request(
        sources=tuple(sources or ()),
        seconds=seconds,
        until=moment,
        heldout=heldout,
        family=family,
        parent=parent,
        grow=grow,
        settings=pairs,
        **with_settings(include or ()),
        exclude=tuple(exclude or ()),
        reproducible=reproducible,
        seed=seed,
        device=device,
        native=native,
        tokenizer=tokenizer,
        weights=_weights(weights or ()),
        cluster=cluster,
    )


def _weights(pairs: Iterable[str]) -> dict[str, float]:
    """Raises UsageError: no number."""
    weights = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            raise UsageError(
                "a weight is of a source, and a number", received=f"--weight {pair}", attempt="--weight SOURCE=0.7"
            ) from None
    return weights


@app.command()
def run(
    sources: Sources = None,
    duration: For = "",
    until: Until = "",
    out: Out = "",
    heldout: Heldout = "",
    family: Family = "gpt",
    parent: From = "",
    grow: Grow = 0,
    settings: Set = None,
    include: With = None,
    exclude: Without = None,
    reproducible: Reproducible = False,
    seed: Seed = 0,
    device: Device = "",
    native: Native = True,
    tokenizer: TokenizerKind = "auto",
    weights: Weight = None,
    cluster: Cluster = "",
    mirrors: Mirror = None,
    as_json: Json = False,
) -> None:
    """Train the best model that fits the time: scan, probe, plan, encode, train, evaluate."""
    from daybreak.stages.progress import Progress
    from daybreak.stages.run import guarded
    from daybreak.stages.run import run as carry_out

    request = _asked(
        sources,
        duration,
        until,
        heldout,
        family,
        parent,
        grow,
        settings,
        include,
        exclude,
        reproducible,
        seed,
        device,
        native,
        tokenizer,
        weights,
        cluster,
    )
    finished = guarded(lambda: carry_out(request, Progress(), out=out, mirrors=tuple(mirrors or ())))
    _print_finished(finished, as_json)


@app.command()
def plan(
    sources: Sources = None,
    duration: For = "",
    until: Until = "",
    out: Annotated[str, typer.Option(help="Write the plan to this file, or to plan.json in this run folder.")] = "",
    heldout: Heldout = "",
    family: Family = "gpt",
    parent: From = "",
    grow: Grow = 0,
    settings: Set = None,
    include: With = None,
    exclude: Without = None,
    reproducible: Reproducible = False,
    seed: Seed = 0,
    device: Device = "",
    native: Native = True,
    tokenizer: TokenizerKind = "auto",
    weights: Weight = None,
    cluster: Cluster = "",
    as_json: Json = False,
) -> None:
    """Show what `run` would do, and why, before the time is spent."""
    from daybreak.core.clock import Stopwatch
    from daybreak.stages.run import guarded, plan_only
    from daybreak.stages.show import plan_lines

    request = _asked(
        sources,
        duration,
        until,
        heldout,
        family,
        parent,
        grow,
        settings,
        include,
        exclude,
        reproducible,
        seed,
        device,
        native,
        tokenizer,
        weights,
        cluster,
    )
    made = guarded(lambda: plan_only(request, Stopwatch(), out=out))
    if as_json:
        print(json.dumps(made.to_json(), ensure_ascii=False, indent=1))
    else:
        print("\n".join(plan_lines(made)))
        if out:
            print(f"\nwritten to {out}; edit it, then: daybreak train {out}")


@app.command()
def prepare(
    sources: Sources = None,
    out: Annotated[str, typer.Option(help="The folder to prepare.")] = "",
    heldout: Heldout = "",
    vocabulary: Annotated[int, typer.Option(help="Tokens of the tokenizer, one of the ladder.")] = 4096,
    include: With = None,
    exclude: Without = None,
    cluster: Cluster = "",
    tokenizer: TokenizerKind = "auto",
    as_json: Json = False,
) -> None:
    """Read and clean text, learn a tokenizer, and write tokens."""
    from daybreak.core.types import Request, with_settings
    from daybreak.stages.run import guarded, prepare_only

    request = Request(
        sources=tuple(sources or ()),
        seconds=0.0,
        heldout=heldout,
        exclude=tuple(exclude or ()),
        cluster=cluster,
        tokenizer=tokenizer,
        settings={"vocabulary": str(vocabulary)},
        **with_settings(include or ()),
    )
    facts = guarded(lambda: prepare_only(request, out=out))
    _print(facts, as_json)


@app.command()
def tokenize(
    path: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or a tokenizer.json.")],
    text: Annotated[str, typer.Argument(help="The text, or - for standard input.")] = "",
    file: Annotated[str, typer.Option("--file", help="A file to take the text from.")] = "",
    as_json: Json = False,
) -> None:
    """Show how a tokenizer cuts a text."""
    from daybreak.stages import tokenize as cutting

    tokenizer = cutting.tokenizer_of(path)
    given = cutting.text_of(text, file)
    tokens = cutting.tokenize(tokenizer, given)
    if as_json:
        print(json.dumps(cutting.to_json(tokenizer, given, tokens), ensure_ascii=False))
        return
    from rich.console import Console

    cutting.show(tokenizer, given, tokens, Console(highlight=False))


@app.command()
def train(
    path: Annotated[str, typer.Argument(metavar="PLAN", help="A run's folder, or the plan.json that `plan` wrote.")],
    out: Out = "",
    replay: Annotated[bool, typer.Option("--replay", help="Repeat the run from its log, to the last bit.")] = False,
    mirrors: Mirror = None,
    as_json: Json = False,
) -> None:
    """Carry out a plan."""
    from daybreak.stages.progress import Progress
    from daybreak.stages.run import guarded, train_only

    finished = guarded(lambda: train_only(path, Progress(), out=out, replay=replay, mirrors=tuple(mirrors or ())))
    _print_finished(finished, as_json)


@app.command()
def evaluate(
    path: RunFolder,
    on: Annotated[list[str] | None, typer.Option("--on", help="Text to score on; else the held-out text.")] = None,
    tasks: Tasks = None,
    limit: Limit = 0,
    batch: Batch = 16,
    harness: Annotated[str, typer.Option("--lm-eval", help="Tasks of lm-eval, such as blimp,lambada_openai.")] = "",
    harness_tasks: Annotated[str, typer.Option("--lm-eval-tasks", help="A folder with lm-eval tasks of yours.")] = "",
    device: Device = "",
    as_json: Json = False,
) -> None:
    """Bits per byte and perplexity over all bytes of a text; or scores on zero-shot tasks."""
    from daybreak.stages.run import guarded

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

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
        from daybreak.stages.harness import evaluate as asked

        names = [name.strip() for name in harness.split(",") if name.strip()]
        facts = guarded(lambda: asked(path, names, folder=harness_tasks, limit=limit, batch=batch, device=device))
    else:
        from daybreak.stages.questions import evaluate as answered

        facts = guarded(lambda: answered(path, tasks or [], limit=limit, batch=batch, device=device, told=told))
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    from daybreak.views.answers import lines

    print("\n".join(lines(facts)))


@app.command()
def generate(
    path: RunFolder,
    prompt: Annotated[str, typer.Argument(help="What to continue.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="At most this many tokens.")] = 200,
    n: Annotated[int, typer.Option(min=1, help="How many continuations.")] = 1,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text. Again for more.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest.")] = 0.8,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Only the likeliest of this mass.")] = 0.95,
    top_k: Annotated[int, typer.Option(min=0, help="Only this many likeliest; 0: all.")] = 0,
    seed: Seed = 0,
    without: Without = None,
    device: Device = "",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16: faster, and rounded.")] = "float32",
    as_json: Json = False,
) -> None:
    """Continue a text with a run's model; an encoder, or an encoder-decoder, fills the <mask>s in it."""
    from daybreak.models.predictors import Sampling
    from daybreak.stages.evaluate import load
    from daybreak.stages.gaps import CANDIDATES, Filler, filled_json, lines
    from daybreak.stages.generate import continuations, nth, pieces
    from daybreak.stages.progress import harmless
    from daybreak.stages.run import guarded

    loaded = guarded(lambda: load(path, device=device, without=tuple(without or ()), precision=precision))
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
    words = tuple(stop or ())
    if isinstance(loaded.alone, Filler):
        filled = guarded(lambda: loaded.predictor.filled(prompt, sampling, count=max(n, CANDIDATES)))
        print(json.dumps(filled_json(prompt, filled), ensure_ascii=False) if as_json else "\n".join(lines(filled, n)))
        return
    if as_json:
        texts = continuations(loaded, prompt, sampling, n=n, stop=words)
        print(json.dumps({"prompt": prompt, "texts": texts}, ensure_ascii=False))
        return
    for index in range(n):
        if n > 1:
            print(f"--- {index + 1}")
        sys.stdout.write(prompt)
        for piece in pieces(loaded, prompt, nth(sampling, index), stop=words):
            sys.stdout.write(harmless(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
        print()


@app.command()
def export(
    path: RunFolder,
    to: Annotated[str, typer.Option("--to", help="hf, gguf, onnx, executorch or torch-export.")],
    out: Annotated[str, typer.Option(help="The folder to make; else exports/ in the run.")] = "",
    precision: Annotated[
        str, typer.Option(help="Of the weights: float32, bfloat16, float16 or q8_0, as far as the format has it.")
    ] = "float32",
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", help="A text to compare on; else held-out text. Again for more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run's model for other programs, opened there and compared."""
    from daybreak.stages.export import export as exported
    from daybreak.stages.export import lines
    from daybreak.stages.run import guarded

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = guarded(lambda: exported(path, to, out=out, precision=precision, prompts=prompts or (), told=told))
    print(json.dumps(found, ensure_ascii=False) if as_json else "\n".join(lines(found)))


@app.command()
def doctor(device: Device = "", as_json: Json = False) -> None:
    """What this machine can do, measured."""
    from daybreak.stages.doctor import examined, lines
    from daybreak.stages.run import guarded

    found = guarded(lambda: examined(device))
    print(json.dumps(found, ensure_ascii=False, indent=1) if as_json else "\n".join(lines(found)))


@app.command()
def mirror(
    path: RunFolder,
    to: Annotated[str, typer.Option("--to", help="tensorboard, wandb or trackio.")],
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Show a run in another tool, from its records."""
    from daybreak.stages.mirror import mirror as shown

    _print(shown(path, to, follow=follow), as_json)


@app.command()
def report(
    path: RunFolder,
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
    out: Annotated[str, typer.Option(help="Write the page to this .html file, and the .json beside it.")] = "",
    as_json: Json = False,
) -> None:
    """Write a page that tells what a run did, at any moment of it."""
    from daybreak.core.run import Run
    from daybreak.stages import report as reports

    page_file, data_file = reports.write(Run.open(path), language=language, out=out)
    if as_json:
        print(data_file.read_text(encoding="utf-8"), end="")
    else:
        print(f"page    {page_file}\ndata    {data_file}")


@app.command()
def watch(
    path: RunFolder,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Else 8600, or the next one that is free.", show_default=False)
    ] = None,
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
    show: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser; else where there is a screen.")
    ] = None,
) -> None:
    """Follow a run on a live page, on this machine alone."""
    from daybreak.stages.watch import watch as follow

    follow(path, port=port, language=language, show=show)


@app.command()
def compare(
    paths: Annotated[list[str] | None, typer.Argument(metavar="RUN RUN...", help="Folders of finished runs.")] = None,
    on: Annotated[
        list[str] | None, typer.Option("--on", help="Text to judge on; else the runs' held-out text.")
    ] = None,
    tasks: Tasks = None,
    limit: Limit = 0,
    batch: Batch = 16,
    out: Annotated[str, typer.Option(help="The .html page to write; with --json none unless named.")] = "",
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
    as_json: Json = False,
) -> None:
    """Runs side by side, and which is better, worse, or cannot be told."""
    from daybreak.stages.compare import compare as compared
    from daybreak.stages.run import guarded
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
        from daybreak.stages.compare_tasks import compare as by_tasks

        _print_by_tasks(
            guarded(lambda: by_tasks(paths or [], tasks, limit=limit, batch=batch, told=told)), said, as_json
        )
        return
    facts = guarded(lambda: compared(paths or [], on or [], told=told))
    page = verdicts.write_page(facts, out or "compare.html", language=language) if out or not as_json else None
    if as_json:
        print(json.dumps({**facts, "page": str(page) if page else None}, ensure_ascii=False))
        return
    from rich.console import Console

    verdicts.show(facts, said, Console())
    print(f"\npage  {page}")


@app.command()
def baselines(
    sources: Sources = None,
    duration: Annotated[str, typer.Option("--for", help="How long each model may take: 60s, 5m.")] = "",
    models: Annotated[str, typer.Option(help="Which ones, of gpt, lstm, rnn and ngram.")] = "gpt,lstm,rnn,ngram",
    out: Annotated[str, typer.Option(help="A folder for the runs and baselines.html.")] = "runs/baselines",
    heldout: Heldout = "",
    seed: Seed = 0,
    device: Device = "",
    language: Annotated[str, typer.Option(help="Of the page: en or zh.")] = "en",
    as_json: Json = False,
) -> None:
    """What a Transformer buys: each model for the same seconds on the same text, side by side."""
    from daybreak.core import units
    from daybreak.core.run import write_json
    from daybreak.stages.baselines import baselines as trained
    from daybreak.stages.run import guarded
    from daybreak.stages.show import baselines_lines
    from daybreak.views import verdicts

    if not duration:
        raise UsageError("the budget is missing", received="no --for", attempt="--for 5m, which each model then has")
    units.seconds_of(duration)
    options = [*(("--heldout", heldout) if heldout else ()), *(("--device", device) if device else ())]
    options += ["--seed", str(seed)]
    asked = tuple(name.strip() for name in models.split(",") if name.strip())
    found = guarded(
        lambda: trained(
            tuple(sources or ()),
            duration,
            out=out,
            models=asked,
            options=options,
            told=lambda line: print(line, file=sys.stderr, flush=True),
        )
    )
    write_json(Path(out) / "baselines.json", found)
    if found["compared"]:
        verdicts.write_page(found["compared"], str(Path(out) / "baselines.html"), language=language)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    print("\n".join(baselines_lines(found)))
    print(f"\npage  {Path(out) / 'baselines.html'}")


@app.command()
def measure(
    path: RunFolder,
    duration: Annotated[
        str, typer.Option("--for", help="How long it may take, such as 20m; else until all is decided.")
    ] = "",
    techniques: Annotated[str, typer.Option(help="Of the plan, such as averaging,bf16; else all that train.")] = "",
    include: Annotated[list[str] | None, typer.Option("--with", help="Try one that is off. Again for more.")] = None,
    share: Annotated[float, typer.Option(help="Steps of a learning cell, of the run's own.")] = 0.25,
    seeds: Annotated[int, typer.Option(help="At most so many seeds.")] = 8,
    optimizers: Annotated[bool, typer.Option("--optimizers", help="Compare all optimizers.")] = False,
    norms: Annotated[bool, typer.Option("--norms", help="Compare all kinds of norm.")] = False,
    positions: Annotated[bool, typer.Option("--positions", help="Compare all kinds of position.")] = False,
    device: Device = "",
    as_json: Json = False,
) -> None:
    """Prove what each technique of a run's plan gained, on this machine."""
    from daybreak.core import units
    from daybreak.stages.measure import measure as measured
    from daybreak.stages.run import guarded
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
        )
    )
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    from rich.console import Console

    gains.show(found, Console())


def _print(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    from daybreak.stages.show import fact_lines

    print("\n".join(fact_lines(facts)))


def _print_by_tasks(facts: dict[str, Any], said: dict[str, str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    from rich.console import Console

    from daybreak.views import answers

    answers.show_comparison(facts, said, Console())


def _print_finished(finished: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run": str(finished.run), **finished.figures}, ensure_ascii=False))
        return
    from daybreak.stages.show import finished_lines

    print("\n".join(finished_lines(finished)))


def _leave(code: int) -> NoReturn:
    """Ends now: taking torch down in order would cost a part of the deadline, and all files are closed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has gone
            stream.flush()
    os._exit(code)


def main() -> None:
    """The console command: errors in three parts, no traceback for a user's mistake, and the right exit code."""
    try:
        returned = app(standalone_mode=False)  # the parser turns a Ctrl-C into the number 130
        code = returned if isinstance(returned, int) else 0
        if code == Interrupted.exit_code:
            print("interrupted", file=sys.stderr)
    except DaybreakError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = Interrupted.exit_code
    except BrokenPipeError:  # the reader of our output has gone: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except typer.Exit as leave:
        code = leave.exit_code
    except SystemExit:  # so does it end where the reader of our output has gone
        code = 0
    except Exception as error:
        code = _told(error)
    _leave(code)


def _told(error: Exception) -> int:
    """The parser's own errors have words for users; anything else is a defect, and its traceback goes to a file."""
    show = getattr(error, "show", None)  # typer brings click's errors under names that have changed
    if show is not None:
        show()
        return int(getattr(error, "exit_code", UsageError.exit_code))
    if isinstance(error, typer.Abort):
        return Interrupted.exit_code
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="daybreak-", suffix=".log", delete=False) as file:
        traceback.print_exc(file=file)
    print(
        f"error: daybreak has failed in a way that it does not know\n  received: {type(error).__name__}: {error}\n"
        f"  try: the same command again; what was saved is kept. Details: {Path(file.name)}",
        file=sys.stderr,
    )
    return 4


if __name__ == "__main__":
    main()
