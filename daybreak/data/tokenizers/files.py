"""Files: any tokenizer.json, daybreak's own or of other libraries, read as the kind that it is."""

import json
from pathlib import Path

from daybreak.core.errors import ResourceError, UsageError
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.data.tokenizers.byte_level import ByteLevelBpe
from daybreak.data.tokenizers.characters import Characters
from daybreak.data.tokenizers.layout import ENDS_OF_TEXT, Layout


def read(path: Path, *, end_of_text: str = "", lossless: bool = False) -> Tokenizer:
    """See `daybreak.data.tokenizers.load_tokenizer`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "daybreak" in data:
            from daybreak.data.tokenizers.words import Words

            return Words.of_json(data)
        own = ByteLevelBpe.of_json(data) or Characters.of_json(data)
        if own is not None:
            return own
        layout = Layout(data)
        layout.pieces()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from None
    if not layout.special:
        raise _unreadable(path, "it has no special token, so no token can mark the end of a text")
    if lossless and layout.loss:
        layout = layout.without_unicode_form()
    from daybreak.data.tokenizers.library import LibraryTokenizer

    return LibraryTokenizer(layout, _end_of_text(path, layout, end_of_text))


def _end_of_text(path: Path, layout: Layout, asked: str) -> int:
    """The id of the token that ends a text. Raises UsageError."""
    ids = {content: token for token, content in layout.special.items()}
    named = [asked] if asked else [*ENDS_OF_TEXT, _configured(path)]
    for content in named:
        if content in ids:
            return ids[content]
    listed = sorted(ids, key=lambda content: ids[content])
    shown = ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")
    raise UsageError(
        "the tokenizer has no end-of-text token",
        received=f"{path}{f': {asked}' if asked else ''} with the special tokens {shown}",
        attempt=f'put a tokenizer_config.json beside it that names one, such as {{"eos_token": "{listed[0]}"}}',
    )


def _configured(path: Path) -> str:
    """The `eos_token` of a tokenizer_config.json beside the file."""
    try:
        token = json.loads(path.with_name("tokenizer_config.json").read_text(encoding="utf-8")).get("eos_token")
    except (OSError, ValueError, AttributeError):
        return ""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _unreadable(path: Path, why: str) -> ResourceError:
    return ResourceError(
        "the tokenizer cannot be read",
        received=f"{path}: {why}",
        attempt="use a complete tokenizer.json, of a daybreak run or of Hugging Face's libraries",
    )
