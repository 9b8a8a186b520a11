"""Unigram and WordPiece, learnt with `tokenizers`."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from daybreak.data.tokenizers import END_OF_TEXT, Tokenizer
from daybreak.data.tokenizing.byte_level import CHARACTERS, byte_level_parts, special_json
from daybreak.data.tokenizing.layout import Layout
from daybreak.data.tokenizing.library import LibraryTokenizer

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # in the order of their ids
UNIGRAM_CHARACTERS = 500_000  # expectation maximization takes many times as long as counting pairs
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
    data: dict[str, Any] = json.loads(learner.to_str())
    end = len(data["model"]["vocab"])
    data["added_tokens"] = [special_json(END_OF_TEXT, end)]
    return LibraryTokenizer(Layout(data), end)


def wordpiece(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """BERT's, cased (arXiv:1810.04805, arXiv:1609.08144); [SEP] ends a text. Not lossless."""
    import tokenizers

    learner = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    learner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    learner.decoder = tokenizers.decoders.WordPiece()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        # A character has one token where it begins a word and one where it continues it.
        limit_alphabet=(vocabulary - len(BERT_SPECIAL)) // 2,
        special_tokens=list(BERT_SPECIAL),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    separator = BERT_SPECIAL.index("[SEP]")
    learner.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", separator), ("[CLS]", BERT_SPECIAL.index("[CLS]"))
    )
    return LibraryTokenizer(Layout(json.loads(learner.to_str())), separator)


def _first(texts: Iterable[str], characters: int) -> Iterator[str]:
    for text in texts:
        if characters <= 0:
            return
        yield text[:characters]
        characters -= len(text)
