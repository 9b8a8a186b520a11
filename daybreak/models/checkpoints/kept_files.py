"""`model/` of a class that transformers runs: its config, its weights by their names, and the tokenizer's files."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from daybreak.core.run import usual_mode
from daybreak.core.shapes import ForeignShape
from daybreak.core.values import Json

# All that the tokenizers of transformers read; those of GROWN still hold when tokenizer.json has more tokens.
GROWN = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
OLDER = ("vocab.json", "merges.txt", "vocab.txt", "added_tokens.json", "tokenizer.model", "spiece.model")


def keep(parent: Path, folder: Path, *, tokenizer: Json | None = None) -> None:
    """Copies the small files beside a parent's weights to where a run has them at hand when it saves.

    tokenizer: what stands in tokenizer.json where it was grown; older files, which then lack tokens, are left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in GROWN if tokenizer is not None else (*GROWN, *OLDER):
        if (parent / name).is_file():
            shutil.copyfile(parent / name, folder / name)
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def fill(folder: Path, shape: ForeignShape, weights: Mapping[str, Tensor], *, kept: Path) -> None:
    """Writes a folder that transformers opens as the class. weights: by its names. kept: where `keep` has copied to.

    The folder is there and empty; models/checkpoints/write.py puts it in its place when it is whole.
    """
    held = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    save_file(held, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = {name: value for name, value in shape.config.items() if name not in ("torch_dtype", "_name_or_path")}
    config |= {"architectures": [shape.architecture], "vocab_size": shape.vocabulary, "dtype": "float32"}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    usual_mode(folder / "model.safetensors")
    keep(kept, folder)
