"""The weights of a parent: which module a class is computed by, and its tensors by the names of that module."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from daybreak.core.errors import DataError
from daybreak.core.shapes import BertShape, ForeignShape, GptShape, T5Shape
from daybreak.models import files, tensor_files
from daybreak.models.gpt import Gpt
from daybreak.models.layouts import foreign, nanogpt, qwen3
from daybreak.models.layouts.foreign import Layout, Tensors
from daybreak.models.tensor_files import Entry

ParentShape = GptShape | BertShape | T5Shape | ForeignShape

COMPILED = "_orig_mod."  # what torch.compile puts before every name
_SHOWN = 3  # tensors of each sort that an error names


def read(folder: Path, config: dict[str, Any], found: dict[str, Entry]) -> tuple[ParentShape, dict[str, Tensor]]:
    """The one place that knows which module a class is computed by.

    config: of transformers, or nanoGPT's arguments. Raises DataError: the config does not say what the model is, the
    tensors are others than it says, or one of them is no number.
    """
    arguments = config if nanogpt.recognized(config) else None
    config = config if arguments is None else nanogpt.config_of(arguments)
    kind = config["model_type"]
    try:
        if kind == files.OWN_CLASS:
            own = files.shape_of(config)
            layout = _of_module(own, Gpt, own.stored_layers(), len(found))
        elif kind == "modernbert":
            raise ValueError("modernbert is not read yet")
        elif kind == "t5":
            raise ValueError("t5 is not read yet")
        else:
            layout = foreign.layout_of(config, most_layers=len(found))
            if kind == "qwen3":
                with contextlib.suppress(DataError):  # a variant that only the class computes
                    return qwen3.shape_of(config), _tensors(folder, layout, found, None)
    except (TypeError, ValueError, OverflowError, RuntimeError, KeyError) as error:
        raise DataError(
            "config.json does not say what the model is",
            received=f"{folder / 'config.json'}: {type(error).__name__}: {error}",
            attempt="the whole folder, as it was written",
        ) from None
    return layout.shape, _tensors(folder, layout, found, arguments)  # type: ignore[return-value]


def _of_module(shape: ParentShape, kind: type[nn.Module], layers: int, most_layers: int) -> Layout:
    """The layout of a module of our own. Raises ValueError: more layers than there are tensors."""
    shape.check()
    if layers > most_layers:
        raise ValueError(f"{layers} layers, and {most_layers} tensors")
    with torch.device("meta"):
        module = kind(shape)
    tensors: Tensors = {}
    shared: dict[str, str] = {}
    first: dict[int, str] = {}
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        if id(tensor) in first:
            shared[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
            tensors[name] = tuple(tensor.shape)
    return Layout(shape=shape, tensors=tensors, shared=shared)


def _tensors(
    folder: Path, layout: Layout, found: dict[str, Entry], arguments: dict[str, Any] | None
) -> dict[str, Tensor]:
    """By the names of the layout, in its order. arguments: nanoGPT's."""
    named = {_name(stored, layout): entry for stored, entry in found.items()}
    named = {
        name: entry
        for name, entry in named.items()
        if name in layout.tensors or name in layout.shared or not re.fullmatch(layout.ignored, name)
    }
    sizes = {name: entry.size for name, entry in named.items()}
    expected = layout.tensors | {name: layout.tensors[of] for name, of in layout.shared.items() if name in sizes}
    absent: Tensors = {}
    if arguments is not None:
        sizes = {name: size[::-1] if nanogpt.is_turned(name) else size for name, size in sizes.items()}
        absent = {n: size for n, size in expected.items() if n not in sizes and nanogpt.lacks(arguments, n)}
    _compare(folder, expected, sizes | absent)
    weights = dict(tensor_files.read(named)) | {name: torch.zeros(size) for name, size in absent.items()}
    for name, of in layout.shared.items():
        if name in weights and not torch.equal(weights.pop(name), weights[of]):
            raise DataError(
                "two weights differ that config.json says are one",
                received=f"{name} and {of} in {folder}",
                attempt="the whole folder, as it was written",
            )
    if arguments is not None:
        weights |= {name: weights[name].t().contiguous() for name in weights if nanogpt.is_turned(name)}
    return {name: weights[name] for name in layout.tensors}


def _name(stored: str, layout: Layout) -> str:
    """The layout's name for a tensor that a file may hold by an older or a shorter one."""
    name = stored.removeprefix(COMPILED)
    for old, new in layout.renamed:
        if name.endswith(old):
            name = name.removesuffix(old) + new
    longer = layout.prefix + name
    known = name in layout.tensors or name in layout.shared
    return name if known or not (longer in layout.tensors or longer in layout.shared) else longer


def _compare(folder: Path, expected: Tensors, sizes: Tensors) -> None:
    """Raises DataError: a tensor that is missing, of another size, or unknown."""
    missing = [name for name in expected if name not in sizes]
    unlike = [name for name in expected if name in sizes and sizes[name] != expected[name]]
    unknown = [name for name in sizes if name not in expected]
    if not (missing or unlike or unknown):
        return
    told = [f"{name} is {list(sizes[name])}, not {list(expected[name])}" for name in unlike[:_SHOWN]]
    told += [f"{name} is missing" for name in missing[:_SHOWN]]
    told += [f"{name} is not of the class" for name in unknown[:_SHOWN]]
    rest = len(missing) + len(unlike) + len(unknown) - len(told)
    raise DataError(
        "the weights are not those of the model in config.json",
        received=f"{folder}: {'; '.join(told)}{f'; and {rest} more' if rest else ''}",
        attempt="config.json and the weights of the same checkpoint",
    )
