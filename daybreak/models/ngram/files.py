"""`model/` of an n-gram model: its counts and its tokenizer. Needs no torch, whose import takes over a second."""

import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from daybreak.core.errors import DataError
from daybreak.core.run import usual_mode
from daybreak.models.checkpoints.replaced import replaced, write_config
from daybreak.models.ngram.kneser_ney import KneserNey


def save_ngram(folder: Path, ngram: KneserNey, *, tokenizer_file: Path) -> None:
    """Written aside and renamed; daybreak alone opens it. Raises ResourceError."""

    def fill(aside: Path) -> None:
        save_file(ngram.tensors(), str(aside / "model.safetensors"))
        usual_mode(aside / "model.safetensors")
        write_config(
            aside / "config.json",
            {"model_type": "daybreak-ngram", "order": ngram.order, "vocab_size": ngram.vocabulary},
        )
        shutil.copyfile(tokenizer_file, aside / "tokenizer.json")

    replaced(folder, fill)


def read_ngram(folder: Path) -> KneserNey:
    """Raises DataError where the folder is not whole."""
    try:
        return KneserNey.from_tensors(load_file(str(folder / "model.safetensors")))
    except Exception as error:  # safetensors raises its own kinds for a damaged file
        raise DataError(
            "the model cannot be read",
            received=f"{folder}: {error}",
            attempt="use the complete model/ folder of a finished run",
        ) from None
