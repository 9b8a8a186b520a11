"""The weights of a parent: which module a class is computed by, and its tensors by the names of that module."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from daybreak.core.errors import DataError, UsageError
from daybreak.core.shapes import NetworkShape
from daybreak.core.values import Json
from daybreak.models import families
from daybreak.models.checkpoints import tensors as tensor_files
from daybreak.models.checkpoints.tensors import Entry
from daybreak.models.layouts import configs, foreign, nanogpt, own, qwen3, t5
from daybreak.models.layouts.foreign import BUFFERS, Layout, Tensors

WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every name
Result = TypeVar("Result")
_SHOWN = 3  # tensors of each sort that an error names


def layout_of(folder: Path, config: Json, found: dict[str, Entry]) -> Layout:
    """The shape, and the weights by the names of the module that it is of; no more than their sizes is read.

    config: of transformers, or nanoGPT's arguments. Raises DataError: the config does not say what the model is, or the
    tensors are others than it says.
    """
    return _explained(folder, lambda: _layout(folder, config, found))


def read(folder: Path, config: Json, found: dict[str, Entry], layout: Layout) -> dict[str, Tensor]:
    """The weights by the names of the layout. Raises DataError: values that are no numbers, or copies that differ."""
    return _explained(folder, lambda: _read(folder, config, found, layout))


def _explained(folder: Path, work: Callable[[], Result]) -> Result:
    try:
        return work()
    except (UsageError, TypeError, ValueError, OverflowError, RuntimeError, KeyError) as error:
        why = error.received if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise DataError(
            "config.json is incomplete",
            received=f"{folder / 'config.json'}: {why}",
            attempt="use the complete folder, as it was written",
        ) from None


def _layout(folder: Path, config: Json, found: dict[str, Entry]) -> Layout:
    arguments = config if nanogpt.recognized(config) else None
    config = config if arguments is None else nanogpt.config_of(arguments)
    if config["model_type"] == t5.MODEL_TYPE:
        return _t5_layout(folder, config, found)
    shape, layout = _known(config, len(found))
    layout = replace(layout, shape=shape)
    named = _named(layout, found)
    tensor_files.check_types(named)
    sizes, absent = _sizes(layout, named, arguments)
    _compare(folder, _expected(layout, named), sizes | absent)
    return layout


def _read(folder: Path, config: Json, found: dict[str, Entry], layout: Layout) -> dict[str, Tensor]:
    arguments = config if nanogpt.recognized(config) else None
    if arguments is None and config["model_type"] == t5.MODEL_TYPE:
        return t5.with_weights(config, dict(tensor_files.read(_without_buffers(found))))[1]
    return _tensors(folder, layout, _named(layout, found), arguments)


def _known(config: Json, most_layers: int) -> tuple[NetworkShape, Layout]:
    """The one place that knows which module a class is computed by: one of our own, or the class itself."""
    kind = config["model_type"]
    if kind.startswith(own.PREFIX) or kind == "modernbert":
        return _of_module(configs.shape_of(config), most_layers)
    layout = foreign.layout_of(config, most_layers=most_layers)
    if kind == "qwen3":
        with contextlib.suppress(DataError):  # a variant that only the class computes
            return qwen3.shape_of(config), layout
    return layout.shape, layout


def _t5_layout(folder: Path, config: Json, found: dict[str, Entry]) -> Layout:
    """T5's config alone does not say which weights are shared: where it may be either, the tables are compared."""
    found = _without_buffers(found)
    tensor_files.check_types(found)
    sizes = {name: torch.empty(entry.size, device="meta") for name, entry in found.items()}

    def same(one: str, other: str) -> bool:
        if t5.HEAD not in (one, other):  # the tables, which are compared as they are read
            return True
        read = dict(tensor_files.read({name: found[name] for name in (one, other)}))
        return torch.equal(read[one], read[other])

    shape, weights = t5.with_weights(config, sizes, same=same)
    _, layout = _of_module(shape, len(found))
    _compare(folder, layout.tensors, {name: tuple(weight.shape) for name, weight in weights.items()})
    return layout


def _without_buffers(found: dict[str, Entry]) -> dict[str, Entry]:
    return {name: entry for name, entry in found.items() if not re.fullmatch(BUFFERS, name)}


def _of_module(shape: NetworkShape, most_layers: int) -> tuple[NetworkShape, Layout]:
    """The layout of a module of our own. Raises ValueError: more layers than there are tensors."""
    shape.check()
    layers = shape.stored_layers()
    if layers > most_layers:
        raise ValueError(f"{layers} layers, but {most_layers} tensors")
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


def _named(layout: Layout, found: dict[str, Entry]) -> dict[str, Entry]:
    """The tensors that the layout has a place for, and those that it does not know, by its own names."""
    named = {_name(stored, layout): entry for stored, entry in found.items()}
    if len(named) < len(found):
        raise ValueError("the names of two tensors mean the same tensor")
    return {
        name: entry
        for name, entry in named.items()
        if name in layout.tensors or name in layout.shared or not re.fullmatch(f"{layout.ignored}|{BUFFERS}", name)
    }


def _expected(layout: Layout, named: dict[str, Entry]) -> Tensors:
    return layout.tensors | {name: layout.tensors[of] for name, of in layout.shared.items() if name in named}


def _sizes(layout: Layout, named: dict[str, Entry], arguments: Json | None) -> tuple[Tensors, Tensors]:
    """Of the tensors in the files, as the layout has them, and of biases that nanoGPT's arguments say are left out."""
    sizes = {name: entry.size for name, entry in named.items()}
    if arguments is None:
        return sizes, {}
    sizes = {name: size[::-1] if nanogpt.is_turned(name) else size for name, size in sizes.items()}
    expected = _expected(layout, named)
    return sizes, {n: size for n, size in expected.items() if n not in sizes and nanogpt.lacks(arguments, n)}


def _tensors(folder: Path, layout: Layout, named: dict[str, Entry], arguments: Json | None) -> dict[str, Tensor]:
    """By the names of the layout, in its order. arguments: nanoGPT's."""
    _, absent = _sizes(layout, named, arguments)
    weights = dict(tensor_files.read(named)) | {name: torch.zeros(size) for name, size in absent.items()}
    for name, of in layout.shared.items():
        if name in weights and not torch.equal(weights.pop(name), weights[of]):
            raise DataError(
                "config.json ties two weights that differ",
                received=f"{name} and {of} in {folder}",
                attempt="use the complete folder, as it was written",
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
    told += [f"{name} does not belong to the class" for name in unknown[:_SHOWN]]
    rest = len(missing) + len(unlike) + len(unknown) - len(told)
    raise DataError(
        "the weights do not match config.json",
        received=f"{folder}: {'; '.join(told)}{f'; and {rest} more' if rest else ''}",
        attempt="use config.json and the weights of the same checkpoint",
    )
