"""The weights of a parent: which module a class is computed by, and its tensors by the names of that module."""

import contextlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from daybreak.core.errors import DataError, UsageError
from daybreak.core.shapes import Network
from daybreak.models import families
from daybreak.models.checkpoints import tensors as tensor_files
from daybreak.models.checkpoints.tensors import Entry
from daybreak.models.layouts import configs, foreign, nanogpt, own, qwen3, t5
from daybreak.models.layouts.foreign import BUFFERS, Layout, Tensors

WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every name
_SHOWN = 3  # tensors of each sort that an error names


def read(folder: Path, config: dict[str, Any], found: dict[str, Entry]) -> tuple[Network, dict[str, Tensor]]:
    """The shape, and the weights by the names of the module that it is of.

    config: of transformers, or nanoGPT's arguments. Raises DataError: the config does not say what the model is, the
    tensors are others than it says, or one of them is no number.
    """
    arguments = config if nanogpt.recognized(config) else None
    config = config if arguments is None else nanogpt.config_of(arguments)
    try:
        if config["model_type"] == t5.MODEL_TYPE:
            return _t5(folder, config, found)
        shape, layout = _known(config, len(found))
        return shape, _tensors(folder, layout, found, arguments)
    except (UsageError, TypeError, ValueError, OverflowError, RuntimeError, KeyError) as error:
        why = error.received if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise DataError(
            "config.json does not say what the model is",
            received=f"{folder / 'config.json'}: {why}",
            attempt="the whole folder, as it was written",
        ) from None


def _known(config: dict[str, Any], most_layers: int) -> tuple[Network, Layout]:
    """The one place that knows which module a class is computed by: one of our own, or the class itself."""
    kind = config["model_type"]
    if kind.startswith(own.PREFIX) or kind == "modernbert":
        return _of_module(configs.shape_of(config), most_layers)
    layout = foreign.layout_of(config, most_layers=most_layers)
    if kind == "qwen3":
        with contextlib.suppress(DataError):  # a variant that only the class computes
            return qwen3.shape_of(config), layout
    return layout.shape, layout


def _t5(folder: Path, config: dict[str, Any], found: dict[str, Entry]) -> tuple[Network, dict[str, Tensor]]:
    """T5's config alone does not say which weights are shared."""
    found = {name: entry for name, entry in found.items() if not re.fullmatch(BUFFERS, name)}
    shape, weights = t5.with_weights(config, dict(tensor_files.read(found)))
    _, layout = _of_module(shape, len(found))
    _compare(folder, layout.tensors, {name: tuple(weight.shape) for name, weight in weights.items()})
    return shape, weights


def _of_module(shape: Network, most_layers: int) -> tuple[Network, Layout]:
    """The layout of a module of our own. Raises ValueError: more layers than there are tensors."""
    shape.check()
    layers = shape.stored_layers()
    if layers > most_layers:
        raise ValueError(f"{layers} layers, and {most_layers} tensors")
    with torch.device("meta"):
        module = families.of(shape).module(shape)
    tensors: Tensors = {}
    shared: dict[str, str] = {}
    first: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            shared[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
            tensors[name] = tuple(tensor.shape)
    return shape, Layout(shape=shape, tensors=tensors, shared=shared)


def _tensors(
    folder: Path, layout: Layout, found: dict[str, Entry], arguments: dict[str, Any] | None
) -> dict[str, Tensor]:
    """By the names of the layout, in its order. arguments: nanoGPT's."""
    named = {_name(stored, layout): entry for stored, entry in found.items()}
    if len(named) < len(found):
        raise ValueError("two tensors have names that mean the same one")
    named = {
        name: entry
        for name, entry in named.items()
        if name in layout.tensors or name in layout.shared or not re.fullmatch(f"{layout.ignored}|{BUFFERS}", name)
    }
    tensor_files.check_types(named)
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
    name = stored
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
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
