"""Pretrained word vectors as initial embeddings, computed from the text or read from a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from daybreak.core.errors import DataError
from daybreak.data import vectors
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers import load_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.gpt import Gpt
from daybreak.techniques import Context, Technique

ITERATIONS = 2  # of the randomized decomposition


@dataclass(frozen=True, kw_only=True)
class WordVectors(Technique):
    """Factors of the positive pointwise mutual information of neighbours (Levy and Goldberg 2014,
    https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization), by a randomized
    decomposition (arXiv:0909.4061), or a file's vectors where the text of a token is a word of it.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "for small texts, or to begin with vectors from a larger text"
    does: ClassVar[str] = "embeddings begin as word vectors, learnt from the text or read from a file"
    refuses_when: ClassVar[str] = "never"
    default: ClassVar[bool] = False
    only_begins: ClassVar[bool] = True
    path: str = ""  # word2vec's text or binary format, or GloVe's; empty: learnt from the text
    window: int = 4  # tokens on each side that are neighbours
    most_tokens: int = 1_000_000  # of the text that is counted

    def module(self, module: Gpt, run: Context) -> tuple[Gpt, int]:
        assert run.run is not None, "there is no text to learn from"
        table = module.model.embed_tokens.weight
        if self.path:
            tokenizer = load_tokenizer(run.run.tokenizer_file)
            rows, found = of_file(Path(self.path), tokenizer, table.shape[1], run.plan.seed)
        else:
            tokens = Tokens(run.run.corpus_folder, f"train-{run.plan.tokenizer.vocabulary}")
            stream = tokens.slice(0, min(len(tokens), self.most_tokens)).astype(np.int64)
            pairs = neighbours(stream, self.window, tokens.end_of_text)
            rows, found = of_counts(*pairs, width=table.shape[1], seed=run.plan.seed)
        return module, placed(table, rows, found)


@torch.no_grad()
def placed(table: torch.Tensor, rows: np.ndarray, found: np.ndarray) -> int:
    """Puts vectors `found` [n, d] into the rows of the table [V, D], d <= D, with the deviation that these had."""
    places = torch.from_numpy(rows).to(table.device)
    scaled = torch.from_numpy(found - found.mean(0)).float().to(table.device)
    scaled *= table[places].std() / scaled.std().clamp(min=1e-12)
    table[places, : found.shape[1]] = scaled
    return len(rows)


def neighbours(stream: np.ndarray, window: int, end_of_text: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of tokens [n], [n] that stand within `window` of each other in a document, and how often [n].

    Both ways round, in order; ends of text are nobody's neighbours.
    """
    document = np.cumsum(stream == end_of_text)
    size = int(stream.max()) + 1 if len(stream) else 1
    codes = []
    for distance in range(1, window + 1):
        one, other = stream[:-distance], stream[distance:]
        good = (document[:-distance] == document[distance:]) & (one != end_of_text)
        codes += [one[good] * size + other[good], other[good] * size + one[good]]
    pairs, counts = np.unique(np.concatenate(codes), return_counts=True)
    return pairs // size, pairs % size, counts


def of_counts(
    one: np.ndarray, other: np.ndarray, counts: np.ndarray, *, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [n] that have neighbours, and their vectors, float32 [n, at most `width`]."""
    if len(counts) == 0:
        raise DataError(
            "the text is too short for word vectors",
            received="a text without neighbouring words",
            attempt="use --without word_vectors",
        )
    seen, rows = np.unique(one, return_inverse=True)
    columns = np.searchsorted(seen, other)
    totals = np.bincount(rows, weights=counts)
    information = np.log(counts) + np.log(counts.sum()) - np.log(totals[rows]) - np.log(totals[columns])
    positive = information > 0
    places = torch.from_numpy(np.stack((rows[positive], columns[positive])))
    values = torch.from_numpy(information[positive]).float()
    matrix = torch.sparse_coo_tensor(places, values, (len(seen), len(seen)), check_invariants=True).coalesce()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, sizes, _ = torch.svd_lowrank(matrix, q=min(width, len(seen)), niter=ITERATIONS)
    return seen, (left * sizes.sqrt()).numpy()


def of_file(path: Path, tokenizer: Tokenizer, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [n] whose text is a word of the file, and their vectors, float32 [n, at most `width`].

    A token's leading space is not part of the word; where the word as it is written is missing, its lower-case form
    counts. Longer vectors are projected at random (Johnson and Lindenstrauss). Raises DataError: unreadable, or no
    token found.
    """
    names = {token: _word(tokenizer, token) for token in range(tokenizer.vocabulary)}
    names = {token: name for token, name in names.items() if name}
    known = vectors.read(path, {form for name in names.values() for form in (name, name.lower())})
    chosen = {token: name if name in known else name.lower() for token, name in names.items()}
    rows = np.array([token for token, name in chosen.items() if name in known], np.int64)
    if len(rows) == 0:
        raise DataError(
            "no token has a word vector", received=f"{path}", attempt="vectors of the text's language, or none"
        )
    found = np.stack([known[chosen[token]] for token in rows.tolist()])
    if found.shape[1] > width:
        generator = np.random.default_rng(seed)
        found = found @ (generator.standard_normal((found.shape[1], width)) / width**0.5).astype(np.float32)
    return rows, found


def _word(tokenizer: Tokenizer, token: int) -> str:
    """The text of a token as a word; empty where it is none."""
    try:
        return tokenizer.bytes_of(token).decode("utf-8").strip(" ")
    except UnicodeDecodeError:
        return ""
