"""Baseline: how well counting alone predicts a text, the figure that a trained model is measured against."""

import numpy as np

from daybreak.models.ngram.characters import CharacterVocabulary
from daybreak.models.ngram.kneser_ney import KneserNey

ORDER = {"byte": 8, "character": 4}  # the longest that is tried


def ngram_figure(sample: tuple[str, ...], heldout: list[str], *, unit: str, most_bytes: int) -> tuple[int, float, int]:
    """Best order, bits per byte on the held-out documents, and bytes counted, of interpolated Kneser-Ney."""
    seen, fitted = [], 0
    for text in sample:
        if fitted >= most_bytes:
            break
        seen.append(text)
        fitted += len(text.encode())
    escape = 0.0
    if unit == "character":
        characters = CharacterVocabulary.learn("".join(seen))
        size = characters.size
        train, test = ([characters.encode(text) for text in texts] for texts in (seen, heldout))
        escape = sum(characters.escape_nats(text) for text in heldout)
    else:
        size = 256
        train, test = ([np.frombuffer(t.encode(), np.uint8) for t in texts] for texts in (seen, heldout))
    # An opening mark gives the first token of a document something to be counted after.
    streams = [_opened(texts, size) for texts in (train, test)]
    model = KneserNey.fit(streams[0][0], order=ORDER[unit], vocabulary=size + 1, starts=streams[0][1])
    probabilities = model.probabilities(streams[1][0], starts=streams[1][1])
    inside = streams[1][0] != size
    nats = -np.log(probabilities[:, inside]).sum(1) + escape
    best = int(nats.argmin())
    return best + 1, float(nats[best] / np.log(2) / sum(len(text.encode()) for text in heldout)), fitted


def _opened(documents: list[np.ndarray], mark: int) -> tuple[np.ndarray, np.ndarray]:
    """One stream with `mark` before every document, and where they start."""
    sizes = np.array([len(document) + 1 for document in documents], np.int64)
    stream = np.concatenate([np.concatenate(([mark], document)) for document in documents]).astype(np.uint32)
    return stream, np.concatenate(([0], np.cumsum(sizes)[:-1]))
