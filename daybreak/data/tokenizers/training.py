"""Unigram and WordPiece, learnt with `tokenizers`."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from daybreak.core.values import Json
from daybreak.data.tokenizers.base import END_OF_TEXT, Tokenizer
from daybreak.data.tokenizers.byte_level import CHARACTERS, byte_level_parts, special_json
from daybreak.data.tokenizers.layout import Layout
from daybreak.data.tokenizers.library import LibraryTokenizer

if TYPE_CHECKING:
    import tokenizers

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # in the order of their ids
UNIGRAM_CHARACTERS = 500_000  # expectation maximization takes many times as long as counting pairs
SCORE_DECIMALS = 3  # of a piece's score in nats, far above what adding up in another order changes
LEFT_OVER = 0.03  # nats above the lowest score that a byte has at most where no piece needed it: 256 steps of 0.0001
_LONGEST_PIECE = 24  # bytes: eight Chinese characters


def unigram(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A unigram language model of pieces (arXiv:1804.10959), here of bytes, so that nothing is normalized or lost."""
    import tokenizers

    learner = tokenizers.Tokenizer(tokenizers.models.Unigram())
    learner.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(byte_level_parts())
    learner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=vocabulary - 1,
        initial_alphabet=list(CHARACTERS),
        max_piece_length=_LONGEST_PIECE,
        special_tokens=[],
        show_progress=False,
    )
    learner.train_from_iterator(_first(texts, UNIGRAM_CHARACTERS), trainer)
    data: Json = json.loads(learner.to_str())
    data["model"]["vocab"] = _repeatable(data["model"]["vocab"])
    end = len(data["model"]["vocab"])
    data["added_tokens"] = [special_json(END_OF_TEXT, end)]
    return LibraryTokenizer(Layout(data), end)


def _repeatable(scored: Iterable[tuple[str, float]]) -> list[list[str | float]]:
    """Pieces with their scores, the likeliest first, the same each time that they are learnt.

    The library adds up in threads (scores differed by up to 4e-11), and gives the bytes that no piece was needed for
    scores above the lowest, one step more for each in the order of a hash (tokenizers, issue 1794).
    """
    scores = {piece: round(score, SCORE_DECIMALS) for piece, score in scored}
    lowest = min(scores.values())
    missing = {piece for piece in scores if len(piece) == 1 and scores[piece] <= lowest + LEFT_OVER}
    scores |= dict.fromkeys(missing, lowest)
    return [[piece, score] for piece, score in sorted(scores.items(), key=lambda item: (-item[1], item[0]))]


def wordpiece(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """BERT's, cased (arXiv:1810.04805, arXiv:1609.08144); [SEP] ends a text. Not lossless."""
    import tokenizers

    learner = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    learner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    learner.decoder = tokenizers.decoders.WordPiece()
    sample = list(texts)
    words = Counter(word for text in sample for word in _words(learner, text))
    first, inner = Counter[str](), Counter[str]()
    for word, count in words.items():
        first[word[0]] += count
        for character in word[1:]:
            inner[character] += count
    # A character has one token where it begins a word and one where it continues it.
    counts = sorted((first + inner).items(), key=lambda item: (-item[1], item[0]))
    alphabet = sorted(character for character, _ in counts[: (vocabulary - len(BERT_SPECIAL)) // 2])
    # Named beforehand, they have the same numbers each time; the library numbers them in the order of a hash, and of
    # pairs that are as frequent it merges the one with the lower numbers first.
    continuing = [f"##{character}" for character in alphabet if inner[character]]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=[*BERT_SPECIAL, *continuing],
        show_progress=False,
    )
    learner.train_from_iterator(sample, trainer)
    separator = BERT_SPECIAL.index("[SEP]")
    learner.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", separator), ("[CLS]", BERT_SPECIAL.index("[CLS]"))
    )
    data = json.loads(learner.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in BERT_SPECIAL]
    return LibraryTokenizer(Layout(data), separator)


def _words(learner: "tokenizers.Tokenizer", text: str) -> Iterator[str]:
    """As the tokenizer that is learnt cuts them."""
    return (word for word, _ in learner.pre_tokenizer.pre_tokenize_str(learner.normalizer.normalize_str(text)))


def _first(texts: Iterable[str], characters: int) -> Iterator[str]:
    for text in texts:
        if characters <= 0:
            return
        yield text[:characters]
        characters -= len(text)
