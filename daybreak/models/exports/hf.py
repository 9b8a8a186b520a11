"""hf: `model/` completed for Hugging Face's libraries: tokenizer with its beginning of a text, generation, chat."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from daybreak.models.exports import Opened, Source, traced, wrapped

PRECISIONS = ("float32", "bfloat16", "float16")
LIBRARIES = ("transformers",)
# For a base model, which was trained on texts and not on turns: messages become one text, a blank line between them.
CHAT_TEMPLATE = (
    "{{- bos_token -}}\n"
    "{%- for message in messages -%}\n"
    "{{- message['content'] -}}\n"
    "{%- if not loop.last or add_generation_prompt -%}{{- '\\n\\n' -}}{%- endif -%}\n"
    "{%- endfor -%}\n"
)


def refuses(source: Source) -> str:
    if source.family not in ("gpt", "bert", "t5"):
        return f"transformers has no class of the family {source.family}"
    if not source.shape.native():
        left = ", ".join(f"{name}={value}" for name, value in source.shape.leaves_class().items())
        return f"transformers has no class that computes it: {left}"
    if "daybreak" in source.tokenizer:
        return (
            f"its tokenizer ({source.tokenizer['daybreak']['kind']}) is daybreak's own, and tokenizers has none like it"
        )
    return ""


def write(source: Source, folder: Path, precision: str) -> None:
    if precision == "float32":
        shutil.copyfile(source.folder / "model.safetensors", folder / "model.safetensors")
    else:
        dtype = getattr(torch, precision)
        weights = load_file(str(source.folder / "model.safetensors"))
        rounded = {name: weight.to(dtype) for name, weight in weights.items()}
        save_file(rounded, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config_files(source, folder, precision)
    tokenizer_files(source, folder)


def opened(folder: Path, source: Source, precision: str) -> Opened:
    from daybreak.models.huggingface import Stock

    return Stock(folder, source.family, traced.SIGNATURES[source.family].names)


def config_files(source: Source, folder: Path, precision: str = "float32") -> None:
    """config.json and generation_config.json, with the sampling that daybreak has unless told otherwise."""
    config = _read(source.folder / "config.json")
    _write(folder / "config.json", {"pad_token_id": source.end_of_text, **config, "torch_dtype": precision})
    if source.family == "bert":  # it writes nothing
        return
    end = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), source.end_of_text)
    generation: dict[str, Any] = {**end, **_read(source.folder / "generation_config.json"), "max_new_tokens": 200}
    if source.family == "gpt":
        generation |= {"do_sample": True, "temperature": 0.8, "top_p": 0.95}
    unused = list(range(source.known, source.shape.vocabulary))
    if unused:
        generation["suppress_tokens"] = unused
    _write(folder / "generation_config.json", generation)


def tokenizer_files(source: Source, folder: Path) -> None:
    """tokenizer.json that opens a text as in training, tokenizer_config.json and chat_template.jinja.

    A tokenizer that is daybreak's own is copied as it is, and the others are left out.
    """
    if "daybreak" in source.tokenizer:
        shutil.copyfile(source.folder / "tokenizer.json", folder / "tokenizer.json")
        return
    data = {**source.tokenizer, "post_processor": opening(source.family, source.token, source.end_of_text)}
    text = json.dumps(data, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    config = _read(source.folder / "tokenizer_config.json")
    if source.family == "gpt":
        config["padding_side"] = "left"
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    _write(folder / "tokenizer_config.json", config)


def opening(family: str, token: str, end_of_text: int) -> dict[str, Any]:
    """A post-processor of tokenizer.json, which puts a text, or two, as they stood in training."""
    special = {"SpecialToken": {"id": token, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": wrapped(family, [first], special),
        "pair": wrapped(family, [first, special, second], special),
        "special_tokens": {token: {"id": token, "ids": [end_of_text], "tokens": [token]}},
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
