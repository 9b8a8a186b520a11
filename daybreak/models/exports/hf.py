"""hf: `model/` completed for Hugging Face's libraries: tokenizer with its beginning of a text, generation, chat."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from daybreak.core.run import usual_mode
from daybreak.core.values import Json
from daybreak.models.checkpoints.tokenizer_files import completed, config_of
from daybreak.models.exports import Opened, Source

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
    if not source.shape.native():
        left = ", ".join(f"{name}={value}" for name, value in source.shape.not_in_transformers().items())
        return f"transformers has no class that computes {left}"
    if "daybreak" in source.tokenizer:
        return (
            f"its tokenizer ({source.tokenizer['daybreak']['kind']}) is daybreak's own; the "
            "tokenizers library has no equivalent"
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
        usual_mode(folder / "model.safetensors")
    config_files(source, folder, precision)
    tokenizer_files(source, folder)
    if source.family.sentences:
        sentence_files(source, folder)


def opened(folder: Path, source: Source, precision: str) -> Opened:
    from daybreak.models.exports.stock import Stock

    assert source.family.signature is not None
    return Stock(folder, source.family.auto_class, source.family.signature.names)


def config_files(source: Source, folder: Path, precision: str = "float32") -> None:
    """config.json and generation_config.json, with the sampling that daybreak has unless told otherwise."""
    config = _read(source.folder / "config.json")
    kind = "dtype" if "dtype" in config else "torch_dtype"  # as later and as earlier versions have it
    _write(folder / "config.json", {**config, kind: precision})
    if source.family.generation is None:  # it writes nothing
        return
    generation: Json = {"max_new_tokens": 200}
    if source.family.continues:
        generation |= {"do_sample": True, "temperature": 0.8, "top_p": 0.95}
    unused = list(range(source.known, source.shape.vocabulary))
    if unused:
        generation["suppress_tokens"] = unused
    _write(folder / "generation_config.json", generation | _read(source.folder / "generation_config.json"))


def tokenizer_files(source: Source, folder: Path) -> None:
    """tokenizer.json that opens a text as in training, tokenizer_config.json and, for GPT, chat_template.jinja.

    A tokenizer that is daybreak's own is copied as it is, and the others are left out. What stands in `model/` already,
    because the model began as another's, stays.
    """
    if "daybreak" in source.tokenizer:
        shutil.copyfile(source.folder / "tokenizer.json", folder / "tokenizer.json")
        return
    data = completed(
        source.tokenizer, source.family, end_of_text=source.end_of_text, token=source.token, specials=source.specials
    )
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    told = config_of(source.family, token=source.token, specials=source.specials, longest=source.shape.context_length)
    config = told | _read(source.folder / "tokenizer_config.json")
    _write(folder / "tokenizer_config.json", config)
    template = source.folder / "chat_template.jinja"
    if template.exists():
        shutil.copyfile(template, folder / "chat_template.jinja")
    elif source.family.continues and "chat_template" not in config:
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def sentence_files(source: Source, folder: Path) -> None:
    """For sentence-transformers: a text is the mean of the final states of its tokens."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    parts = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")
    _write(folder / "sentence_bert_config.json", {"max_seq_length": source.shape.context_length})
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": source.shape.width, "pooling_mode_mean_tokens": True}
    _write(folder / "1_Pooling" / "config.json", {**pooling, "pooling_mode_cls_token": False})


def _read(path: Path) -> Json:
    if not path.exists():
        return {}
    data: Json = json.loads(path.read_text(encoding="utf-8"))
    return data


def _write(path: Path, data: Json) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
