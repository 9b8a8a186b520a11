"""Samples: what a model of any family writes during a run, after how a text begins, or into the gaps of one."""

import codecs
from collections.abc import Sequence

import numpy as np

from daybreak.core.types import Plan
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.inference.predictors import Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.module import LanguageModel
from daybreak.tasks.continuation import continued
from daybreak.tasks.fill_mask import CANDIDATES, WRITTEN, Filled, Filler

SAMPLE_TOKENS = 64
PROMPT_TOKENS = 8
LONGEST_PROMPT = 36  # tokens of a text with gaps
BETWEEN_GAPS = 8
NOTHING = "\u2205"  # what is shown where an encoder-decoder fills a gap with nothing
_FIRST_WIDE = 0x2E80  # from here on stand the scripts of East Asia, whose words are not divided by spaces


def opening(tokenizer: Tokenizer, heldout: Tokens) -> list[int]:
    """The tokens with which a document begins, LONGEST_PROMPT at most: of the held-out text, from its middle on.

    It is the first document that goes on behind a prompt, and the longest one where all are shorter.
    """
    bounds = np.unique(np.concatenate([[0], np.asarray(heldout.starts, np.int64), [len(heldout)]]))
    lengths = np.diff(bounds)
    if not len(lengths):
        return []
    order = np.roll(np.arange(len(lengths)), -(len(lengths) // 2))
    long_enough = order[lengths[order] > 2 * PROMPT_TOKENS]
    chosen = int(long_enough[0] if len(long_enough) else lengths.argmax())
    begin, end = int(bounds[chosen]), int(bounds[chosen + 1])
    # The end-of-text token that opens a document is one more.
    tokens = heldout.slice(begin, min(end, begin + LONGEST_PROMPT + 1))
    return [int(token) for token in tokens if token != tokenizer.end_of_text][:LONGEST_PROMPT]


def continuation(plan: Plan, module: LanguageModel, tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[str, str]:
    """How a text begins (a part of `tokens`) and how the model goes on.

    tokens: the beginning of one document. Both parts are whole characters: what the model writes of one without
    completing it is left out.
    """
    network = Network(
        module,
        end_of_text=tokenizer.end_of_text,
        known_tokens=tokenizer.vocabulary,
        shows_text=tokenizer.shows_text,
    )
    prompt = prompt_of(tokenizer, tokens)
    sampling = Sampling(max_tokens=SAMPLE_TOKENS, seed=plan.seed)
    text = "".join(continued(network, tokenizer, tokenizer.encode(prompt), sampling))
    return prompt, text.replace("\ufffd", "")


def filled_gaps(filler: Filler, plan: Plan, tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[str, str]:
    """The beginning of a document with gaps in it, and what the model fills them with."""
    pieces = pieces_of(tokenizer, list(tokens)[:LONGEST_PROMPT])
    filler.module.eval()
    filled = filler.put_in(pieces, Sampling(max_tokens=SAMPLE_TOKENS, seed=plan.seed), count=CANDIDATES)
    shown = f" {WRITTEN} ".join(tokenizer.decode(piece) for piece in pieces)
    return shown, " \u2192 " + " / ".join(_likeliest(filled))


def prompt_of(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """About PROMPT_TOKENS tokens, to the end of a word, and not all of the text; words of East Asia are characters."""
    text = _whole(tokenizer, tokens)
    length = max(1, len(_whole(tokenizer, tokens[: min(PROMPT_TOKENS, max(1, len(tokens) // 2))])))
    while 0 < length < len(text) and _in_a_word(text[length - 1]) and _in_a_word(text[length]):
        length += 1
    return text[:length]


def pieces_of(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[list[int]]:
    """A text with about every ninth token left out, each of whole characters, as the pieces around the gaps."""
    ends = _character_ends(tokenizer, tokens)
    tokens = tokens[: max((place for place, end in enumerate(ends) if end), default=0)]
    pieces, begin = list[list[int]](), 0
    for place in range(len(tokens)):
        if place - begin >= BETWEEN_GAPS and ends[place] and ends[place + 1]:
            pieces.append(list(tokens[begin:place]))
            begin = place + 1
    return [*pieces, list(tokens[begin:])] if pieces else [list(tokens), []]


def _character_ends(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[bool]:
    """Whether a character ends before each token, and after the last one: [n + 1]."""
    data = b"".join(tokenizer.bytes_of(token) for token in tokens)
    borders = np.cumsum([0, *(len(tokenizer.bytes_of(token)) for token in tokens)]).tolist()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    complete = not decoder.getstate()[0]
    # Bytes within a character are 10xxxxxx.
    return [data[border] & 0xC0 != 0x80 if border < len(data) else complete for border in borders]


def _likeliest(filled: Filled) -> list[str]:
    """For each gap what is likeliest there; a part of a character only where nothing whole was found."""
    chosen = []
    for gap in filled.gaps:
        texts = [text for text, _ in gap]
        whole = [text for text in texts if text.strip() and "\ufffd" not in text]
        chosen.append((whole or texts or [""])[0].strip() or NOTHING)
    return chosen


def _whole(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """The text of tokens from its first visible character on, without parts of characters."""
    data = b"".join(tokenizer.bytes_of(token) for token in tokens)
    return data.decode("utf-8", "ignore").lstrip()


def _in_a_word(character: str) -> bool:
    return (character.isalnum() or character in "_'") and ord(character) < _FIRST_WIDE
