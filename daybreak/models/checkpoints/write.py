"""`model/`: the folder that daybreak and transformers both open, written by hand and read back from it alone."""

import functools
import json
from pathlib import Path
from typing import cast

from safetensors.torch import save_file
from torch import Tensor

from daybreak.core.run import usual_mode
from daybreak.core.shapes import ForeignShape, NetworkShape
from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models import families
from daybreak.models.checkpoints import kept_files, tokenizer_files
from daybreak.models.checkpoints.replaced import replaced, write_config
from daybreak.models.layouts.configs import config_of


def save(
    folder: Path,
    shape: NetworkShape,
    weights: dict[str, Tensor],
    *,
    tokenizer_file: Path,
    end_of_text: int,
    token: str,
    specials: Specials | None = None,
    kept: Path | None = None,
) -> None:
    """Writes `folder` anew, aside and then renamed, so that there is a whole model at every moment.

    A shape that leaves the stock class is written as a class of our own, which daybreak alone reads.

    weights: by transformers' names, float32. token: how the end of a text is spelled. kept: small files of the
    checkpoint that training began with, which stay as they were. Raises ResourceError: the disk is full or not
    writable.
    """
    family = families.of(shape)
    if family.in_transformers:
        assert kept is not None
        as_read = cast(ForeignShape, shape)
        replaced(folder, functools.partial(kept_files.fill, shape=as_read, weights=weights, kept=kept))
        return
    if shape.native():
        shape, weights = family.written_out(shape, weights)
    held = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    if shape.tied:
        held.pop(family.head, None)

    def fill(aside: Path) -> None:
        save_file(held, str(aside / "model.safetensors"), metadata={"format": "pt"})
        write_config(aside / "config.json", config_of(shape, end_of_text, specials))
        usual_mode(aside / "model.safetensors")
        if family.generation is not None:
            pad = specials.pad if specials else end_of_text
            write_config(aside / "generation_config.json", family.generation(end_of_text, pad))
        tokenizer_files.copied(tokenizer_file, aside, family, end_of_text=end_of_text, token=token, specials=specials)
        told = tokenizer_files.config_of(family, token=token, specials=specials, longest=shape.context_length)
        write_config(aside / "tokenizer_config.json", told)
        if kept is not None:
            kept_files.keep(kept, aside)
            write_config(aside / "config.json", _as_long(config_of(shape, end_of_text, specials), kept))

    replaced(folder, fill)


def _as_long(config: Json, kept: Path) -> Json:
    """Training in short windows takes nothing from how long a text the checkpoint can read."""
    name = "max_position_embeddings"
    longest = json.loads((kept / "config.json").read_text(encoding="utf-8")).get(name, 0)
    return {**config, name: max(config[name], longest)} if name in config else config
