"""The tokenizer's files in model/: what others have to know of special tokens to read text as the model was trained."""

import json
from pathlib import Path

from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models.checkpoints.special_tokens import spelled
from daybreak.models.families.record import Family


def completed(data: Json, family: Family, *, end_of_text: int, token: str, specials: Specials | None) -> Json:
    """tokenizer.json with the family's special tokens and the tokens that stand around a text.

    What another tool wrote to say so stays. token: how the end of a text is spelled.
    """
    if "daybreak" in data:  # a kind that the libraries do not have
        return data
    known = {added["id"] for added in data["added_tokens"]}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    more = [
        {"id": number, "content": content, **flags, "special": True}
        for content, number in spelled(specials).items()
        if number not in known
    ]
    template = data.get("post_processor")
    if template is None or template.get("type") == "ByteLevel":
        template = _template(family, end_of_text, token)
    return {**data, "added_tokens": [*data["added_tokens"], *more], "post_processor": template}


def _template(family: Family, end_of_text: int, token: str) -> Json:
    def part(name: str) -> Json:
        if name == "end":
            return {"SpecialToken": {"id": token, "type_id": 0}}
        return {"Sequence": {"id": name, "type_id": 0}}

    return {
        "type": "TemplateProcessing",
        "single": [part(name) for name in family.around],
        "pair": [part(name) for name in family.around_two],
        "special_tokens": {token: {"id": token, "ids": [end_of_text], "tokens": [token]}},
    }


def config_of(family: Family, *, token: str, specials: Specials | None, longest: int) -> Json:
    """tokenizer_config.json. longest: tokens that the model was trained to see."""
    names = {"pad_token": "<|pad|>"} if specials else {"pad_token": token}
    if specials and specials.mask is not None:
        names |= {"mask_token": "<|mask|>", "cls_token": token, "sep_token": token}
    if specials and specials.sentinels:
        names["additional_special_tokens"] = [  # type: ignore[assignment]
            name for name in spelled(specials) if name.startswith("<extra_id_")
        ]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token,
        "eos_token": token,
        "unk_token": None,
        **names,
        "clean_up_tokenization_spaces": False,
        "model_max_length": longest,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": family.padding_side,
    }


def copied(
    source: Path, into: Path, family: Family, *, end_of_text: int, token: str, specials: Specials | None
) -> None:
    """Writes tokenizer.json, completed, into the folder; see `completed`."""
    data = json.loads(source.read_text(encoding="utf-8"))
    whole = completed(data, family, end_of_text=end_of_text, token=token, specials=specials)
    text = json.dumps(whole, ensure_ascii=False)
    (into / "tokenizer.json").write_text(text, encoding="utf-8")
