"""Settings: JSON that programs keep for themselves, which is no text whatever sentences are in it."""

import re
from collections.abc import Mapping, Sequence

from daybreak.data.formats.rows.shape import Row
from daybreak.data.formats.rows.shapes import NONE, shape_of

_WORD = re.compile(r"[^\W\d_]?(?:[^\W\d_A-Z]|['’-])+[.,;:!?)”\"…]*")  # not an identifier, which has several in one
_WIDE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{2}")
_WORDS_ALONE = ("name", "names", "word", "words", "term", "title", "phrase")  # columns
_LEAST_WORDED = 0.3
_LOOKED_AT = 1000  # characters of a text
_TOO_FEW = 20
_LEAST_READ = 0.7  # share of an object's characters in the text of the row that it would be
_DEEPEST = 100

# The keys that tell it, of which all must be there, and what the file is.
_KNOWN: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(keys), what)
    for keys, what in (
        (("version", "added_tokens", "model"), "the tokenizer of a model"),
        (("tokenizer_class",), "settings of a tokenizer"),
        (("architectures",), "settings of a model"),
        (("model_type",), "settings of a model"),
        (("transformers_version",), "settings of a model"),
        (("weight_map", "metadata"), "settings of a model"),
        (("bos_token", "eos_token"), "settings of a tokenizer"),
        (("image_processor_type",), "settings of a model"),
        (("features", "splits"), "a description of a data set"),
        (("features", "download_checksums"), "a description of a data set"),
        (("features", "citation"), "a description of a data set"),
        (("_data_files",), "a description of a data set"),
        (("splits", "dataset_name"), "a description of a data set"),
        (("citation", "description", "homepage"), "a description of a data set"),
        (("name", "version", "dependencies"), "settings of a program"),
        (("name", "version", "devDependencies"), "settings of a program"),
        (("name", "version", "scripts"), "settings of a program"),
        (("name", "lockfileVersion"), "settings of a program"),
        (("name", "require"), "settings of a program"),
        (("compilerOptions",), "settings of a program"),
        (("eslintConfig",), "settings of a program"),
        (("manifest_version",), "settings of a program"),
        (("$schema", "properties"), "a schema of JSON"),
        (("$schema", "definitions"), "a schema of JSON"),
        (("$schema", "$defs"), "a schema of JSON"),
        (("openapi", "paths"), "a description of a program's interface"),
        (("swagger", "paths"), "a description of a program's interface"),
    )
)


def what_it_is(value: object) -> str:
    """What the value is where it is no text, for the notes; empty: perhaps it is text."""
    if not isinstance(value, dict) or not value:
        return ""
    if what := _known(value):
        return what
    parts = list(value.values())
    if all(isinstance(part, dict) for part in parts) and all(_known(part) for part in parts):
        return _known(parts[0])  # of each configuration of a data set
    numbers = sum(isinstance(part, int | float) for part in parts)
    if len(parts) >= _TOO_FEW and numbers == len(parts):
        return "numbers by their names, as a vocabulary has them"
    return ""


def are_scattered(value: Mapping[str, object]) -> bool:
    """Its strings are spread over the object as in settings and in the words of a program, and none is the text."""
    found = shape_of([value])
    if found.named or found is NONE:
        return False
    read = len(found.text(value) or "")
    return read < _LEAST_READ * _characters(value)


def are_names(rows: Sequence[Row]) -> bool:
    """What would be read of the rows are identifiers, codes and the like, few of them words or sentences."""
    found = shape_of(rows)
    if found is NONE or found.kind != "text" or (found.named and found.column):
        return False
    texts = [text.strip() for row in rows if (text := found.text(row)) and text.strip()]
    alone = all(isinstance(row, str) for row in rows) or found.column.lower() in _WORDS_ALONE
    worded = sum(_has_words(text[:_LOOKED_AT], 1 if alone else 2) for text in texts)
    return worded < _LEAST_WORDED * len(texts)


def _has_words(text: str, least: int) -> bool:
    """Words of a language are half of what stands between its blanks."""
    if _WIDE.search(text):
        return True
    parts = (text.lower() if text.isupper() and text.count(" ") > 2 else text).split()
    words = sum(_WORD.fullmatch(part) is not None for part in parts)
    return words >= least and 2 * words >= len(parts)


def _characters(value: object, depth: int = 0) -> int:
    if isinstance(value, str):
        return len(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(_characters(part, depth + 1) for part in parts) if depth < _DEEPEST else 0


def _known(value: Mapping[str, object]) -> str:
    keys = value.keys()
    return next((f"{what}, no text" for known, what in _KNOWN if known <= keys), "")
