"""daybreak: text, any machine and a deadline in; by the deadline a usable language model out."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

# Threads that wait for each other spin by default. Where anything else runs on the machine, they then spin away the
# very time that they wait for: beside one busy neighbour on two cores, products took 3 to 5 times as long with it;
# alone, as long as without. Both are read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Otherwise the number of threads may follow the load of the machine, and sums would come in another order.
os.environ["OMP_DYNAMIC"] = "FALSE"

if TYPE_CHECKING:
    from daybreak.core.types import Plan
    from daybreak.stages.evaluate import Loaded
    from daybreak.stages.gaps import Filled
    from daybreak.stages.run import Finished

__all__ = ["Model", "load", "plan", "run"]
__version__ = "0.1.0"


class Model:
    """A run's model, loaded: continues texts or fills their gaps, is scored, and goes out to other programs."""

    def __init__(self, loaded: "Loaded") -> None:
        self._loaded = loaded

    def generate(self, prompt: str = "", *, n: int = 1, stop: Sequence[str] = (), **sampling: Any) -> str | list[str]:
        """The continuation of the prompt, or a list of n. sampling: max_tokens, temperature, top_p, top_k, seed.

        Raises UsageError: an encoder or an encoder-decoder, which fills gaps (`fill`).
        """
        from daybreak.models.predictors import Sampling
        from daybreak.stages.generate import continuations

        texts = continuations(self._loaded, prompt, Sampling(**sampling), n=n, stop=tuple(stop))
        return texts[0] if n == 1 else texts

    def stream(self, prompt: str = "", *, stop: Sequence[str] = (), **sampling: Any) -> Iterator[str]:
        """The continuation piece by piece, never a broken character."""
        from daybreak.models.predictors import Sampling
        from daybreak.stages.generate import pieces

        return pieces(self._loaded, prompt, Sampling(**sampling), stop=tuple(stop))

    def fill(self, text: str, *, candidates: int = 5, **sampling: Any) -> "Filled":
        """A text whose every <mask> is filled, by an encoder or an encoder-decoder, and what was likeliest there.

        candidates: how many of these an encoder tells. sampling: as for `generate`, of an encoder-decoder. Raises
        UsageError: another family, or no gap in the text.
        """
        from daybreak.models.predictors import Sampling
        from daybreak.stages.gaps import filler_of

        return filler_of(self._loaded).filled(text, Sampling(**sampling), count=candidates)

    def evaluate(self, *on: str, tasks: Sequence[str] = (), limit: int = 0) -> dict[str, Any]:
        """The run's headline, perplexity, bytes and tokens over all of the given files, or over the held-out text.

        tasks: files of zero-shot questions, to be scored in the place of text; limit: at most so many of each file.
        """
        if tasks:
            from daybreak.stages.questions import evaluate as answer

            return answer(str(self._loaded.run.path), tasks, limit=limit)
        from daybreak.stages.evaluate import evaluate

        return evaluate(self._loaded.run.path, on)

    def export(self, to: str, *, out: str = "", precision: str = "float32") -> dict[str, Any]:
        """Writes it for other programs, opened there and compared; "folder" says where. to: as `daybreak export`."""
        from daybreak.stages.export import export

        return export(self._loaded.run.path, to, out=out, precision=precision)


def run(
    *sources: str, budget: str, out: str = "", quiet: bool = True, mirrors: Sequence[str] = (), **asked: Any
) -> "Finished":
    """Trains on the sources (none: the built-in text) for a budget such as "8h".

    mirrors: "tensorboard", "wandb", "trackio", to look on in processes of their own.
    asked: heldout, family, parent (a checkpoint to go on from), grow, settings (a dict), include, exclude,
    reproducible, seed, device, native.
    The budget counts from this call, not from the start of the process. Raises DaybreakError.
    """
    from daybreak.core.clock import Stopwatch, boot_seconds
    from daybreak.stages.progress import Progress, Silence
    from daybreak.stages.run import run as carry_out

    display, stopwatch = Silence() if quiet else Progress(), Stopwatch(start=boot_seconds())
    return carry_out(_request(sources, budget, asked), display, out=out, stopwatch=stopwatch, mirrors=tuple(mirrors))


def plan(*sources: str, budget: str, **asked: Any) -> "Plan":
    """What `run` would do, without doing it."""
    from daybreak.core.clock import Stopwatch, boot_seconds
    from daybreak.stages.run import plan_only

    return plan_only(_request(sources, budget, asked), Stopwatch(start=boot_seconds()))


def load(path: str, *, device: str = "", without: Sequence[str] = (), precision: str = "float32") -> Model:
    """The model of a run folder. without=("ngram_mix",) uses model/ alone.

    precision="bfloat16" halves the weights that are read for a token, and rounds them: faster, not quite the same text.
    """
    from daybreak.stages.evaluate import load as load_run

    return Model(load_run(path, device=device, without=tuple(without), precision=precision))


def _request(sources: Sequence[str], budget: str, asked: dict[str, Any]) -> Any:
    from daybreak.core.types import Request, with_settings
    from daybreak.core.units import seconds_of

    asked = {**asked, "settings": {name: str(value) for name, value in asked.get("settings", {}).items()}}
    asked |= {**with_settings(asked.get("include", ())), "exclude": tuple(asked.get("exclude", ()))}
    return Request(sources=tuple(sources), seconds=seconds_of(budget), **asked)
