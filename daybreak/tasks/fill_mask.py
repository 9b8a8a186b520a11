"""Gaps: texts with places left open, and what an encoder or an encoder-decoder puts there."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from daybreak.core.errors import UsageError
from daybreak.core.run import Run
from daybreak.core.types import Plan, Specials
from daybreak.core.values import Json
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.inference.sampling import Sampling, may_end
from daybreak.models.module import LanguageModel

if TYPE_CHECKING:
    from daybreak.models.t5 import T5

# How a gap may be written, whatever the family's tokenizer calls it.
GAP = re.compile(r"<\|mask\|>|<mask>|\[MASK\]|<extra_id_\d+>")
WRITTEN = "<mask>"
CANDIDATES = 5


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A text whose gaps were filled; for each gap, what was likeliest there, with its probability where it is known."""

    text: str
    gaps: tuple[tuple[tuple[str, float | None], ...], ...]


class Filler(ABC):
    """A model that fills gaps, on its device, with what it needs to read text."""

    needs = "model/"

    def __init__(self, module: LanguageModel, tokenizer: Tokenizer, plan: Plan) -> None:
        assert plan.tokenizer.specials is not None
        self.module, self.tokenizer, self.plan = module, tokenizer, plan
        self.specials: Specials = plan.tokenizer.specials
        self.end_of_text = tokenizer.end_of_text

    def filled(self, text: str, sampling: Sampling, *, count: int = CANDIDATES) -> Filled:
        """Raises UsageError: no gap in the text."""
        parts = GAP.split(text)
        if len(parts) < 2:
            raise UsageError(
                "there is no gap to fill in the text",
                received=repr(text),
                attempt=f'mark what is missing with {WRITTEN}, such as "The {WRITTEN} of London."',
            )
        pieces = [self.tokenizer.encode(part) for part in parts]
        return self.put_in(pieces, sampling, count=count)

    @abstractmethod
    def put_in(self, pieces: Sequence[Sequence[int]], sampling: Sampling, *, count: int = CANDIDATES) -> Filled:
        """pieces: the tokens around the gaps, one list more than there are gaps."""


class MaskFiller(Filler):
    """Every gap is one token, told with what else is likely there."""

    def put_in(self, pieces: Sequence[Sequence[int]], sampling: Sampling, *, count: int = CANDIDATES) -> Filled:
        from daybreak.models.inference.pseudo_likelihood import fills

        mask = self.specials.mask
        assert mask is not None
        tokens = [self.end_of_text, *pieces[0]]
        for piece in pieces[1:]:
            tokens += [mask, *piece]
        found = fills(
            self.module,
            [*tokens, self.end_of_text],
            mask,
            known_tokens=self.plan.tokenizer.vocabulary,
            never=np.flatnonzero(self.tokenizer.token_bytes == 0).tolist(),
            count=count,
        )
        text = self.tokenizer.decode(pieces[0])
        for best, piece in zip(found, pieces[1:], strict=True):
            text += self.tokenizer.decode([best[0].token]) + self.tokenizer.decode(piece)
        gaps = tuple(tuple((self.tokenizer.decode([one.token]), one.probability) for one in gap) for gap in found)
        return Filled(text=text, gaps=gaps)


class SpanFiller(Filler):
    """Every gap is written out, of any length."""

    module: "T5"

    def _shows_text(self, tokens: Sequence[int]) -> bool:
        return self.tokenizer.shows_text(token for token in tokens if token < self.plan.tokenizer.vocabulary)

    def put_in(self, pieces: Sequence[Sequence[int]], sampling: Sampling, *, count: int = CANDIDATES) -> Filled:
        from daybreak.models.inference.infill import spans_of, written

        sentinels = self.specials.sentinels[: len(pieces) - 1]
        if len(sentinels) < len(pieces) - 1:
            raise UsageError(
                "the text has more gaps than there are tokens to stand for them",
                received=f"{len(pieces) - 1} gaps",
                attempt=f"at most {len(self.specials.sentinels)}",
            )
        inputs = list(pieces[0])
        for sentinel, piece in zip(sentinels, pieces[1:], strict=True):
            inputs += [sentinel, *piece]
        tokens = list(
            written(
                self.module,
                [*inputs, self.end_of_text],
                specials=self.specials,
                end_of_text=self.end_of_text,
                max_tokens=sampling.max_tokens,
                seed=sampling.seed,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                known_tokens=self.plan.tokenizer.vocabulary,
                may_end=may_end(sampling, self._shows_text),
            )
        )
        spans = spans_of(tokens, self.specials.sentinels)
        said = [self.tokenizer.decode(spans.get(sentinel, [])) for sentinel in sentinels]
        text = self.tokenizer.decode(pieces[0])
        for span, piece in zip(said, pieces[1:], strict=True):
            text += span + self.tokenizer.decode(piece)
        return Filled(text=text, gaps=tuple(((span, None),) for span in said))


class _Loaded(Protocol):
    """Of evaluation.loaded.Loaded, what is asked here."""

    run: Run
    plan: Plan

    @property
    def predictor(self) -> object: ...


def filler_of(loaded: _Loaded) -> Filler:
    """Of an evaluate.Loaded. Raises UsageError: a model that continues texts."""
    if isinstance(loaded.predictor, Filler):
        return loaded.predictor
    raise UsageError(
        "this model continues texts and fills no gaps",
        received=f"{loaded.run}, of the family {loaded.plan.shape.family}",
        attempt="use `generate`, or a run of the family bert or t5",
    )


def lines(filled: Filled, count: int) -> list[str]:
    """The text, then what else was likely in each gap, up to `count` of them."""
    told = [filled.text]
    for number, gap in enumerate(filled.gaps, 1):
        known = [(piece, share) for piece, share in gap[:count] if share is not None]
        if len(known) > 1:
            told.append(f"{number}: " + "  ".join(f"{piece.strip()!r} {share:.1%}" for piece, share in known))
    return told


def filled_json(prompt: str, filled: Filled) -> Json:
    gaps = [[{"text": piece, "probability": share} for piece, share in gap] for gap in filled.gaps]
    return {"prompt": prompt, "texts": [filled.text], "gaps": gaps}
