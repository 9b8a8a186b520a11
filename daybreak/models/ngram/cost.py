"""Time and memory that counting n-grams takes."""

SECONDS_PER_TOKEN_AND_ORDER = 1.5e-7  # of `fit`, on one core; bytes are faster
LEAST_TOKENS = 50_000  # fewer counts of a training text teach nothing
MOST_BYTES_PER_TOKEN_AND_ORDER = 30  # of memory while it fits, where no gram comes again
BYTES_PER_TOKEN_AND_ORDER = 20  # measured on books
BYTES_PER_BYTE = 50  # of memory while it fits a text of bytes, whose short grams come again
COUNTED_BYTES = 7  # of the model afterwards, for a token and an order


def countable(order: int, *, seconds: float, memory_bytes: float) -> int:
    """How many tokens can be counted in this time and memory."""
    return int(min(seconds / SECONDS_PER_TOKEN_AND_ORDER, memory_bytes / MOST_BYTES_PER_TOKEN_AND_ORDER) / order)


def counting_bytes(tokens: float, *, order: int, vocabulary: int) -> float:
    """Bytes of memory while so many tokens are counted."""
    return tokens * (BYTES_PER_BYTE if vocabulary <= 257 else order * BYTES_PER_TOKEN_AND_ORDER)


def counted_bytes(tokens: float, *, order: int, vocabulary: int) -> float:
    """Bytes of the model that is counted from so many tokens."""
    return tokens * COUNTED_BYTES * (1 if vocabulary <= 257 else order)
