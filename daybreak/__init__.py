"""daybreak: text, any machine and a deadline in; by the deadline a usable language model out."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from daybreak.core import keywords, units
from daybreak.core.errors import (
    BudgetTooShort,
    DataError,
    DaybreakError,
    Interrupted,
    MissingPackage,
    NotRepeatable,
    ResourceError,
    Saved,
    UnknownKeyword,
    UsageError,
)
from daybreak.core.request import OPTIONS, listed, request_of
from daybreak.core.values import Json

# Threads that wait for each other spin by default. Where anything else runs on the machine, they then spin away the
# very time that they wait for: beside one busy neighbour on two cores, products took 3 to 5 times as long with it;
# alone, as long as without. Both are read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Otherwise the number of threads may follow the load of the machine, and sums would come in another order.
os.environ["OMP_DYNAMIC"] = "FALSE"

if TYPE_CHECKING:
    from daybreak.core.types import Plan
    from daybreak.evaluation.loaded import Loaded
    from daybreak.tasks.fill_mask import Filled
    from daybreak.training.execution import Finished

__all__ = [
    "BudgetTooShort",
    "DataError",
    "DaybreakError",
    "Interrupted",
    "MissingPackage",
    "Model",
    "NotRepeatable",
    "ResourceError",
    "Saved",
    "UnknownKeyword",
    "UsageError",
    "load",
    "plan",
    "run",
]
__version__ = "0.1.0"


_KEYWORDS = frozenset(option.name for option in OPTIONS.values())
_FORMERLY = {option.formerly: option.name for option in OPTIONS.values() if option.formerly}


class Model:
    """A run's model, loaded: continues texts or fills their gaps, is scored, and goes out to other programs."""

    def __init__(self, loaded: "Loaded") -> None:
        self._loaded = loaded

    def __repr__(self) -> str:
        plan = self._loaded.plan
        size = f"{units.count(plan.shape.parameters())} parameters, " if not plan.shape.counted else ""
        return f"<daybreak.Model of {self._loaded.run}: {plan.shape.family}, {size}{plan.tokenizer.vocabulary} tokens>"

    @keywords.checked()
    def generate(
        self,
        prompt: str = "",
        *,
        n: int = 1,
        stop: str | Sequence[str] = (),
        max_tokens: int = 200,
        temperature: float = 0.8,
        top_p: float = 0.95,
        top_k: int = 0,
        seed: int = 0,
        min_tokens: int | None = None,
    ) -> str | list[str]:
        """The continuation of the prompt, or a list of n. The options are those of `daybreak generate`.

        min_tokens: how many are written before the text may end; None: at temperatures above 0, as many as it takes
        until there is something to see. Warns where the prompt is longer than the context of
        the model. Raises UsageError: an encoder or an encoder-decoder, which fills gaps (`fill`).
        """
        from daybreak.evaluation.generation import continuations
        from daybreak.models.inference.sampling import Sampling

        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            min_tokens=min_tokens,
        )
        texts = continuations(self._loaded, prompt, sampling, n=n, stop=listed(stop))
        self._warn_of_cut(prompt)
        return texts[0] if n == 1 else texts

    @keywords.checked()
    def stream(
        self,
        prompt: str = "",
        *,
        stop: str | Sequence[str] = (),
        max_tokens: int = 200,
        temperature: float = 0.8,
        top_p: float = 0.95,
        top_k: int = 0,
        seed: int = 0,
        min_tokens: int | None = None,
    ) -> Iterator[str]:
        """The continuation piece by piece, never a broken character."""
        from daybreak.evaluation.generation import pieces
        from daybreak.models.inference.sampling import Sampling

        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            min_tokens=min_tokens,
        )
        found = pieces(self._loaded, prompt, sampling, stop=listed(stop))
        self._warn_of_cut(prompt)
        return found

    def _warn_of_cut(self, prompt: str) -> None:
        from daybreak.evaluation.generation import cut_prompt

        if cut := cut_prompt(self._loaded, prompt):
            warnings.warn(cut, stacklevel=4)

    @keywords.checked()
    def fill(
        self,
        text: str,
        *,
        candidates: int = 5,
        max_tokens: int = 200,
        temperature: float = 0.8,
        top_p: float = 0.95,
        top_k: int = 0,
        seed: int = 0,
    ) -> "Filled":
        """A text whose every <mask> is filled, by an encoder or an encoder-decoder, and what was likeliest there.

        candidates: how many of these an encoder tells; the other options are of an encoder-decoder, as for `generate`.
        Raises UsageError: another family, or no gap in the text.
        """
        from daybreak.models.inference.sampling import Sampling
        from daybreak.tasks.fill_mask import filler_of

        sampling = Sampling(max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
        return filler_of(self._loaded).filled(text, sampling, count=candidates)

    @keywords.checked()
    def evaluate(self, *on: str | os.PathLike[str], tasks: str | Sequence[str] = (), limit: int = 0) -> Json:
        """The run's headline, perplexity, bytes and tokens over all of the given files, or over the held-out text.

        tasks: files of zero-shot questions, to be scored in the place of text; limit: at most so many of each file.
        """
        if tasks:
            from daybreak.stages.evaluate.tasks import evaluate_tasks as answer

            return answer(str(self._loaded.run.path), listed(tasks), limit=limit)
        from daybreak.stages.evaluate.text import evaluate

        return evaluate(self._loaded.run.path, listed(on))

    @keywords.checked()
    def export(self, to: str, *, out: str | os.PathLike[str] = "", precision: str = "float32") -> Json:
        """Writes it for other programs, opened there and compared; "folder" says where. to: as `daybreak export`."""
        from daybreak.stages.export.exporting import export

        return export(self._loaded.run.path, to, out=os.fspath(out), precision=precision)


@keywords.checked({**_FORMERLY, "mirrors": "mirror"})
def run(
    *sources: str | os.PathLike[str],
    for_: str | None = None,
    until: str | None = None,
    out: str | os.PathLike[str] = "",
    heldout: str | os.PathLike[str] = "",
    family: str = "gpt",
    tokenizer: str | os.PathLike[str] = "auto",
    from_: str | os.PathLike[str] = "",
    grow_vocabulary: int = 0,
    set: Mapping[str, object] | Sequence[str] = (),
    with_: str | Sequence[str] = (),
    without: str | Sequence[str] = (),
    weight: Mapping[str, float] | Sequence[str] = (),
    native: bool = True,
    reproducible: bool = False,
    seed: int = 0,
    device: str = "",
    cluster: str = "",
    mirror: str | Sequence[str] = (),
    quiet: bool = True,
) -> "Finished":
    """Trains on the sources (none: the built-in text) for a time such as for_="8h", and blocks until it is over.

    The keywords are the options of `daybreak run`, with an underscore behind words that Python has taken; `set` and
    `weight` take a dictionary. quiet: nothing is shown while it runs. The time counts from this call, not from the
    start of the process. Raises DaybreakError.
    """
    from daybreak.core.clock import Stopwatch, boot_seconds
    from daybreak.stages.run import run as carry_out
    from daybreak.views.progress import Progress, Silence

    display, stopwatch = Silence() if quiet else Progress(), Stopwatch(start=boot_seconds())
    asked = {name: value for name, value in locals().items() if name in _KEYWORDS}
    return carry_out(request_of(asked), display, out=os.fspath(out), stopwatch=stopwatch, mirrors=listed(mirror))


@keywords.checked(_FORMERLY)
def plan(
    *sources: str | os.PathLike[str],
    for_: str | None = None,
    until: str | None = None,
    heldout: str | os.PathLike[str] = "",
    family: str = "gpt",
    tokenizer: str | os.PathLike[str] = "auto",
    from_: str | os.PathLike[str] = "",
    grow_vocabulary: int = 0,
    set: Mapping[str, object] | Sequence[str] = (),
    with_: str | Sequence[str] = (),
    without: str | Sequence[str] = (),
    weight: Mapping[str, float] | Sequence[str] = (),
    native: bool = True,
    reproducible: bool = False,
    seed: int = 0,
    device: str = "",
    cluster: str = "",
) -> "Plan":
    """What `run` would do, without doing it."""
    from daybreak.core.clock import Stopwatch, boot_seconds
    from daybreak.stages.plan import plan_only

    stopwatch = Stopwatch(start=boot_seconds())
    asked = {name: value for name, value in locals().items() if name in _KEYWORDS}
    return plan_only(request_of(asked), stopwatch)


@keywords.checked()
def load(
    path: str | os.PathLike[str], *, device: str = "", without: str | Sequence[str] = (), precision: str = "float32"
) -> Model:
    """The model of a run folder. without=["ngram_mix"] uses model/ alone.

    precision="bfloat16" halves the weights that are read for a token, and rounds them: faster, not quite the same text.
    """
    from daybreak.core.run import Run

    Run.with_model(os.fspath(path))  # before torch is imported
    from daybreak.evaluation.loaded import load as load_run

    return Model(load_run(os.fspath(path), device=device, without=listed(without), precision=precision))
