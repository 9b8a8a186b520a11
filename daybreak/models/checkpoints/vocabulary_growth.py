"""Growth: rows for new tokens in the tables of a model, made of the rows of the tokens that spelled them before."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from daybreak.core.errors import UsageError
from daybreak.core.shapes import NetworkShape
from daybreak.models.ladder import padded

# By the names of every class here, in all of which a row, or one number of a bias, is a token's.
TABLES = (
    "model.embed_tokens.weight",
    "lm_head.weight",
    "transformer.wte.weight",
    "model.embeddings.tok_embeddings.weight",
    "decoder.weight",
    "decoder.bias",
    "bert.embeddings.word_embeddings.weight",
    "cls.predictions.bias",
    "shared.weight",
    "embed_tokens.weight",
)
VALUES = "model.embed_values."
NOISE = 0.1  # of the spread of a table's rows, for tokens of which nothing is known: equal ones would stay equal


def grow(
    weights: Mapping[str, Tensor], pieces: Sequence[Sequence[int]], *, first: int, seed: int = 0
) -> dict[str, Tensor]:
    """The weights with tables of padded(first + len(pieces)) rows, or of as many as they have if those are more.

    The row of token first + i is the mean of the rows pieces[i] in every table, the head among them (arXiv:2402.09977);
    a head's row without pieces, and rows that only pad, are the mean of all tokens' rows, which keeps what they take of
    any probability small (Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html). The given weights stay
    as they are. Raises UsageError: a piece that is no old token.
    """
    wrong = [token for spelled in pieces for token in spelled if not 0 <= token < first]
    if wrong:
        raise UsageError(
            "a new token is built from a missing token",
            received=f"token {wrong[0]}, of {first}",
            attempt="use pieces of the tokenizer that the model was trained with",
        )
    grown = dict(weights)
    for name in tables_of(weights):
        grown[name] = _grown(weights[name], pieces, first, seed)
    return grown


def tables_of(names: Iterable[str]) -> list[str]:
    """Names of the tables, and of biases, that have an entry for each token."""
    return [name for name in names if name in TABLES or name.startswith(VALUES)]


def grown_shape(shape: NetworkShape, sizes: Mapping[str, Sequence[int]], *, tokens: int) -> NetworkShape:
    """The shape of weights of these sizes, by their names, when they are grown for so many tokens in all."""
    tables = tables_of(sizes)
    grown = {name: (grown_rows(sizes[name][0], tokens), *sizes[name][1:]) for name in tables}
    return shape.with_rows(grown[tables[0]][0], sum(math.prod(size) for size in {**sizes, **grown}.values()))


def grown_rows(rows: int, tokens: int) -> int:
    """Of a table for so many tokens, which has `rows` now: none is taken away."""
    return max(padded(tokens), rows)


def _grown(table: Tensor, pieces: Sequence[Sequence[int]], first: int, seed: int) -> Tensor:
    rows = grown_rows(len(table), first + len(pieces))
    old = table[:first].float()
    mean = old.mean(0)
    new = mean.expand(rows, *table.shape[1:]).clone()
    new[:first] = old
    generator = torch.Generator().manual_seed(seed)
    spread = old.std(0)
    for index, spelled in enumerate(pieces):
        if spelled:
            new[first + index] = old[list(spelled)].mean(0)
        else:
            drawn = torch.randn(table.shape[1:], generator=generator)
            new[first + index] = mean + NOISE * spread * drawn
    return new.to(table.dtype)
