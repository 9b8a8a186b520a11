"""Parents: a checkpoint of a daybreak run, of transformers or of nanoGPT, read safely as a shape and its weights.

Nothing that a folder holds is run: weights come from safetensors alone, and all else is JSON.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from daybreak.core.errors import DataError, UsageError
from daybreak.core.run import read_json
from daybreak.core.shapes import NetworkShape
from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models import families
from daybreak.models.checkpoints import tensors
from daybreak.models.checkpoints import weights as checkpoint_weights
from daybreak.models.checkpoints.special_tokens import TOKENIZER, marks_of
from daybreak.models.checkpoints.tensors import Entry
from daybreak.models.layouts import CLASSES, configs, nanogpt
from daybreak.models.layouts.foreign import Layout

SUPPORTED = ", ".join(names[0] for names in CLASSES.values())
# How names of classes end, and what transformers opens all such classes with.
AUTO = {"ForMaskedLM": "AutoModelForMaskedLM", "ForConditionalGeneration": "AutoModelForSeq2SeqLM"}
CONVERT = (
    "python -c \"from transformers import {auto} as M; M.from_pretrained('{folder}').save_pretrained('{folder}')\""
)
CONVERT_NANOGPT = (
    'python -c "import json, torch; from safetensors.torch import save_file; '
    "c = torch.load('{file}', map_location='cpu', weights_only=True); "
    "save_file({{k: v.clone() for k, v in c['model'].items() if 'lm_head' not in k}}, '{folder}/model.safetensors'); "
    "json.dump(c['model_args'], open('{folder}/config.json', 'w'))\""
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint to start from, by its header: what config.json, its tokenizer and the sizes of its weights say."""

    folder: Path  # where config.json is
    layout: Layout  # its shape, and the weights by the names of the module that the shape is of
    tokenizer_file: Path
    tokens: int  # ids of the tokenizer and of special tokens beside it: new ones begin here
    specials: Specials | None  # of encoders and encoder-decoders
    end_of_text: str  # for data/tokenizers.py's `loaded`; empty where it finds that itself
    config: Json  # of the class
    written: Json  # config.json, which is not that of the class where nanoGPT has written it
    entries: dict[str, Entry]  # where each tensor is
    stamp: tuple[tuple[int, int], ...]  # size and time of each file, when the header was read

    @property
    def shape(self) -> NetworkShape:
        return self.layout.shape

    @property
    def files(self) -> list[Path]:
        return _files(self.folder, self.entries)

    @functools.cached_property
    def digest(self) -> str:
        """Of config.json and the bytes of the weights, by which one checkpoint is known from another."""
        return tensors.digest(self.files)

    def weights(self) -> dict[str, Tensor]:
        """Read anew each time: float32, on the CPU. Raises DataError: damaged files, or values that are no numbers."""
        return checkpoint_weights.read(self.folder, self.written, self.entries, self.layout)

    def unchanged(self) -> bool:
        """Whether the files are still those whose header was read."""
        try:
            return self.stamp == _stamp(self.files)
        except OSError:
            return False


def peek(folder: Path) -> Checkpoint:
    """The header of a daybreak run (its model/), a folder of transformers, or one of nanoGPT (layouts/nanogpt.py).

    Raises UsageError: there is no such folder. Raises DataError: a class that is not supported, code of its own that it
    asks for, weights in a pickle, shards that are missing, files that are cut off, sizes that the config does not have,
    or a tokenizer with ids that the table has no rows for. Nothing is written, and no more of the weights is read than
    T5 needs to tell whether its head is its table.
    """
    folder = _folder_of(folder)
    written = read_json(folder / "config.json", "use the complete folder, as it was written")
    if not isinstance(written, dict):
        raise DataError(
            "a file cannot be read",
            received=f"{folder / 'config.json'} is not a JSON object",
            attempt="use the complete folder, as it was written",
        )
    of_nanogpt = nanogpt.recognized(written)
    config = nanogpt.config_of(written) if of_nanogpt else written
    _check_class(folder, config)
    found = tensors.entries(folder, convert=_convert(folder, config, of_nanogpt=of_nanogpt))
    stamp = _stamp(_files(folder, found))
    layout = checkpoint_weights.layout_of(folder, written, found)
    shape = layout.shape
    marks = marks_of(folder, config, families.of(shape).special_tokens)
    if marks.ids > shape.vocabulary:
        raise DataError(
            "the tokenizer has more tokens than the model has embeddings",
            received=f"ids up to {marks.ids - 1} in {folder / TOKENIZER}, but {shape.vocabulary} rows of embeddings",
            attempt="use the tokenizer that the model was trained with",
        )
    return Checkpoint(
        folder=folder,
        layout=layout,
        tokenizer_file=folder / TOKENIZER,
        tokens=marks.ids,
        specials=marks.specials,
        end_of_text=marks.end_of_text,
        config=config,
        written=written,
        entries=found,
        stamp=stamp,
    )


def _files(folder: Path, found: dict[str, Entry]) -> list[Path]:
    return [folder / "config.json", *sorted({entry.file for entry in found.values()})]


def _stamp(files: list[Path]) -> tuple[tuple[int, int], ...]:
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in (file.stat() for file in files))


def _folder_of(folder: Path) -> Path:
    """Where config.json is: the folder itself, or a run's model/."""
    for place in (folder, folder / "model"):
        if (place / "config.json").is_file():
            return place
    if not folder.is_dir():
        raise UsageError(
            "the checkpoint does not exist",
            received=str(folder),
            attempt="use a run's folder, such as runs/NAME, or a folder with config.json and model.safetensors",
        )
    pickled = sorted(path for path in folder.iterdir() if path.name.endswith(tensors.PICKLES))
    if pickled:
        convert = CONVERT_NANOGPT.format(folder=folder, file=pickled[0])
        raise DataError(
            "the checkpoint is a pickle file, which can run any code and is never opened",
            received=f"{pickled[0]}, and no config.json",
            attempt=f"if it is nanoGPT's and you trust it, convert it: {convert}",
        )
    raise UsageError(
        "the folder holds no checkpoint",
        received=f"{folder}, which has no config.json",
        attempt="use a run's folder with a model/ in it, or a folder with config.json and model.safetensors",
    )


def _check_class(folder: Path, config: Json) -> None:
    """Raises DataError: a class that is not known here, code of its own, or quantized weights."""
    kind, named = config.get("model_type"), config.get("architectures") or []
    if config.get("auto_map") or config.get("trust_remote_code"):
        raise DataError(
            "the checkpoint needs custom code, which is never run",
            received=f"auto_map or trust_remote_code in {folder / 'config.json'}",
            attempt=f"use a checkpoint of a class that transformers has itself: {SUPPORTED}",
        )
    known = configs.classes_of(kind) if isinstance(kind, str) else ()
    if not known or not isinstance(named, list) or (named and not any(name in known for name in named)):
        raise DataError(
            "this kind of model is not supported",
            received=f"architectures {named}, model_type {kind!r}, in {folder}",
            attempt=f"one of: {SUPPORTED}",
        )
    if config.get("quantization_config"):
        raise DataError(
            "the weights are quantized, and cannot be trained",
            received=f"quantization_config in {folder / 'config.json'}",
            attempt="use the checkpoint from before quantization",
        )


def _convert(folder: Path, config: Json, *, of_nanogpt: bool) -> str:
    """The command that writes safetensors from what the folder's tool has written."""
    if of_nanogpt:
        return CONVERT_NANOGPT.format(folder=folder, file=folder / "ckpt.pt")
    usual = configs.classes_of(config["model_type"])[0]
    auto = next((auto for ending, auto in AUTO.items() if usual.endswith(ending)), "AutoModelForCausalLM")
    return CONVERT.format(auto=auto, folder=folder)
