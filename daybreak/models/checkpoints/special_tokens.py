"""Special tokens of a checkpoint's folder: how many ids its tokenizer has, and which of them mean what."""

import json
from dataclasses import dataclass
from pathlib import Path

from daybreak.core.errors import DataError
from daybreak.core.run import read_json
from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models import families
from daybreak.models.families.record import SpecialTokens

TOKENIZER = "tokenizer.json"
PADS = ("[PAD]", "<pad>", "<|pad|>")
MASKS = ("[MASK]", "<mask>", "<|mask|>")
SENTINEL = "<extra_id_{}>"
CONVERT = "python -c \"from transformers import AutoTokenizer as T; T.from_pretrained('{0}').save_pretrained('{0}')\""


@dataclass(frozen=True, kw_only=True)
class Marks:
    ids: int  # one more than the highest, of the tokenizer and of the special tokens beside it
    specials: Specials | None
    end_of_text: str  # the token that ends a text, where it is not one of the usual names


def marks_of(folder: Path, config: Json, needed: SpecialTokens | None = None) -> Marks:
    """Read from tokenizer.json, what lies beside it, and the plan of a run.

    needed: by the family. Raises DataError: no tokenizer.json, one that is no tokenizer, or none of these tokens in it.
    """
    ids = _ids(folder)
    planned = _planned(folder)
    told = {**_object(folder / "special_tokens_map.json"), **_object(folder / "tokenizer_config.json")}
    specials = None
    if planned is not None:
        specials = planned
    elif needed is not None:
        masked, spans = needed.mask, bool(needed.sentinels)
        pad = _known(ids, config.get("pad_token_id"), _content(told.get("pad_token")), *PADS)
        mask = _known(ids, config.get("mask_token_id"), _content(told.get("mask_token")), *MASKS) if masked else None
        sentinels = _sentinels(ids) if spans else ()
        lacking = {"a pad": pad, "a mask": mask if masked else 0, "sentinels": 0 if sentinels or not spans else None}
        if missing := [what for what, token in lacking.items() if token is None]:
            raise DataError(
                f"the tokenizer has no token for {' and '.join(missing)}",
                received=str(folder / TOKENIZER),
                attempt="put the tokenizer_config.json that names them beside it",
            )
        assert pad is not None
        specials = Specials(pad=pad, mask=mask, sentinels=sentinels)
    beside = [] if specials is None else [specials.pad, specials.mask or 0, *specials.sentinels]
    # NanoChat begins documents by this token, and its tokens that end a turn of a chat end no text.
    end = "<|bos|>" if config.get("model_type") == "nanochat" and "<|bos|>" in ids else ""
    return Marks(ids=1 + max([*ids.values(), *beside]), specials=specials, end_of_text=end)


def _ids(folder: Path) -> dict[str, int]:
    """Every token of tokenizer.json by its spelling."""
    path = folder / TOKENIZER
    if not path.is_file():
        raise DataError(
            "the checkpoint has no tokenizer.json",
            received=str(folder),
            attempt="put a tokenizer.json beside the weights; from older tokenizer files it can be "
            f"made by: {CONVERT.format(folder)}",
        )
    data = read_json(path, "use the tokenizer.json that the model was trained with")
    try:
        if "daybreak" in data:  # words, whose ids follow from their order
            return {str(index): index for index in range(257 + len(data["daybreak"]["words"]))}
        vocabulary = data["model"]["vocab"]
        if isinstance(vocabulary, list):
            vocabulary = {entry[0]: index for index, entry in enumerate(vocabulary)}
        ids = {**vocabulary, **{token["content"]: token["id"] for token in data["added_tokens"]}}
        if not ids or not all(type(token) is int and token >= 0 for token in ids.values()):
            raise ValueError("its tokens have no ids")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            "the tokenizer cannot be read",
            received=f"{path}: {type(error).__name__}: {error}",
            attempt="use the tokenizer.json that the model was trained with",
        ) from None
    return ids


def _planned(folder: Path) -> Specials | None:
    """Those of the plan, where the folder is the model/ of a run."""
    found = _object(folder.parent / "plan.json").get("tokenizer") or {}
    kept = found.get("specials") if isinstance(found, dict) and folder.name == "model" else None
    return None if kept is None else Specials.from_json(kept, "plan.json")


def _object(path: Path) -> Json:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _content(token: object) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _known(ids: dict[str, int], configured: object, *names: str | None) -> int | None:
    if type(configured) is int and configured >= 0:
        return configured
    return next((ids[name] for name in names if name in ids), None)


def _sentinels(ids: dict[str, int]) -> tuple[int, ...]:
    found: list[int] = []
    while (name := SENTINEL.format(len(found))) in ids:
        found.append(ids[name])
    return tuple(found)


def specials_of(family: str, vocabulary: int) -> Specials | None:
    """The tokens behind a tokenizer's own that a family's models have beside them; None: it needs none."""
    needed = families.named(family).special_tokens
    return None if needed is None else needed.behind(vocabulary)


def spelled(specials: Specials | None) -> dict[str, int]:
    """How they are written in a tokenizer's files."""
    if specials is None:
        return {}
    masks = {} if specials.mask is None else {"<|mask|>": specials.mask}
    return {"<|pad|>": specials.pad, **masks, **{f"<extra_id_{n}>": id for n, id in enumerate(specials.sentinels)}}
