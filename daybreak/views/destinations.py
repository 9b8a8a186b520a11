"""Destinations: the libraries that a mirror writes to. Each is imported only in the mirror's own process."""

import contextlib
import html
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import shlex
import sys
import types
from pathlib import Path
from typing import Any, Protocol

from daybreak.core.errors import MissingPackage, UsageError, nearest
from daybreak.core.messages import localized
from daybreak.core.values import Json
from daybreak.views.points import Point

ENTRY_POINTS = "daybreak.mirrors"  # third parties add a mirror of theirs: a name, and a class like those below
PROJECT = "daybreak"
_NO_CHOICES = ("plan/reasons/", "plan/refused/", "plan/predicted/")


class Destination(Protocol):
    """Takes points in the order of their steps.

    folder: exists, and is this mirror's alone. name: of the run. identity: of this mirror of it, the same when it is
    continued. config: plan and request as JSON values. step: the last one that an earlier process wrote; -1: none.
    """

    def __init__(self, folder: Path, *, name: str, identity: str, config: Json, step: int) -> None: ...

    def write(self, points: list[Point]) -> None:
        """Hands them over: once it returns, they are not written a second time."""

    def close(self, *, finished: bool) -> None:
        """finished: the run came to its end; else it was interrupted."""


class TensorBoard:
    """Event files in `folder`, by TensorBoard's own writer; neither torch nor TensorFlow is imported."""

    def __init__(self, folder: Path, *, name: str, identity: str, config: Json, step: int) -> None:
        # The writer takes TensorFlow's files where TensorFlow is there, which costs seconds; this is its switch.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2, summary_pb2
        self._tensor, self._string = tensor_pb2.TensorProto, types_pb2.DT_STRING
        self._writer = EventFileWriter(str(folder), max_queue_size=1000, flush_secs=60)
        if step >= 0:  # readers drop what an earlier process may have written beyond it
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(event_pb2.Event(step=step + 1, session_log=start))
        else:
            self._add(0, 0.0, [self._text("config/plan", json.dumps(config, indent=1))])
            chosen = {name: value for name, value in flat(config).items() if not name.startswith(_NO_CHOICES)}
            self._writer.add_event(event_pb2.Event(step=0, summary=summary_v2.hparams_pb(chosen)))

    def write(self, points: list[Point]) -> None:
        for point in points:
            values = [self._summary.Summary.Value(tag=tag, simple_value=v) for tag, v in point.scalars.items()]
            values += [self._text(tag, text) for tag, text in point.texts.items()]
            self._add(point.step, point.time, values)
        self._writer.flush()

    def close(self, *, finished: bool) -> None:
        self._writer.close()

    def _add(self, step: int, when: float, values: list[Any]) -> None:
        summary = self._summary.Summary(value=values)
        self._writer.add_event(self._event.Event(step=step, wall_time=when, summary=summary))

    def _text(self, tag: str, text: str) -> Any:
        plugin = self._summary.SummaryMetadata.PluginData(plugin_name="text")
        tensor = self._tensor(dtype=self._string, string_val=[indented(text).encode("utf-8", "replace")])
        metadata = self._summary.SummaryMetadata(plugin_data=plugin)
        return self._summary.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


class WeightsAndBiases:
    """A W&B run. The user's WANDB_* variables hold; without a key it is written offline, and nobody is asked."""

    def __init__(self, folder: Path, *, name: str, identity: str, config: Json, step: int) -> None:
        for variable, value in {
            "WANDB_DIR": str(folder),
            "WANDB_PROJECT": PROJECT,
            "WANDB_NAME": name,
            "WANDB_RUN_ID": identity,
            "WANDB_RESUME": "allow",
            "WANDB_CONSOLE": "off",
            "WANDB_SILENT": "true",
            "WANDB_DISABLE_CODE": "true",
            "WANDB_DISABLE_GIT": "true",
            "WANDB__DISABLE_STATS": "true",  # sampling the machine is left to those who ask for it
            "WANDB__DISABLE_META": "true",
        }.items():
            os.environ.setdefault(variable, value)
        import wandb

        self._wandb = wandb
        mode: Any = os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not self._key():
            mode = "offline"
            say("W&B: there is no API key, so the run is written offline")
        try:
            self._run = wandb.init(config=config, mode=mode)
        except wandb.Error as error:
            if mode == "offline":
                raise
            mode = "offline"
            say(f"W&B: {error}; the run is written offline")
            wandb.teardown()  # what failed still holds the run's identity
            self._run = wandb.init(config=config, mode=mode)
        if mode == "offline":
            say(f"W&B: to upload it: wandb sync {Path(self._run.dir).parent}")

    def write(self, points: list[Point]) -> None:
        for point in points:
            # Escaped: a sample is text, whatever a model wrote.
            pages = {t: self._wandb.Html(f"<pre>{html.escape(text)}</pre>") for t, text in point.texts.items()}
            self._run.log({**point.scalars, **pages}, step=point.step)

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)

    def _key(self) -> bool:
        """Whether there is a key in the environment, the settings or netrc."""
        with contextlib.suppress(self._wandb.Error):
            return self._wandb.login(prompt=False, verify=False)
        return False


class Trackio:
    """A trackio run: in `folder`, or where the user's TRACKIO_* variables say."""

    def __init__(self, folder: Path, *, name: str, identity: str, config: Json, step: int) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder))
        if not (os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL")):
            os.environ.setdefault("HF_HUB_OFFLINE", "1")  # it would ask the hub who the user is
        import trackio

        self._trackio = trackio
        self._run = trackio.init(
            os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=name,
            config=config,
            resume="allow" if step >= 0 else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def write(self, points: list[Point]) -> None:
        for point in points:
            texts = {tag: self._trackio.Markdown(indented(text)) for tag, text in point.texts.items()}
            self._run.log({**point.scalars, **texts}, step=point.step)

    def close(self, *, finished: bool) -> None:
        self._run.finish()


BUILT_IN: dict[str, type[Destination]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
}


def check(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, each once. Imports none of the libraries. Raises UsageError: unknown, or not installed."""
    others = importlib.metadata.entry_points(group=ENTRY_POINTS).names if set(names) - set(BUILT_IN) else set()
    for name in names:
        if name not in BUILT_IN and name not in others:
            raise UsageError(
                "unknown experiment tracker",
                received=name or "no name",
                attempt=nearest(name, {*BUILT_IN, *others}),
            )
        if name in BUILT_IN and not _installed(name):
            raise MissingPackage(
                "the library of the experiment tracker is not installed",
                received=name,
                attempt=f"run pip install '.[{name}]' in the checkout",
            )
    return tuple(dict.fromkeys(names))


def destination(name: str) -> type[Destination]:
    """The class of a name that was checked."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    return importlib.metadata.entry_points(group=ENTRY_POINTS)[name].load()


def opening(name: str, folder: Path) -> str:
    """The command that opens what a mirror has written to `folder`; empty where it is seen on a server, or unknown."""
    place = shlex.quote(str(folder))
    if name == "tensorboard":
        return f"tensorboard --logdir {place}"
    if name == "trackio" and not (os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL")):
        place = shlex.quote(os.environ.get("TRACKIO_DIR") or str(folder))
        return f"TRACKIO_DIR={place} trackio show --project {os.environ.get('TRACKIO_PROJECT', PROJECT)}"
    return ""


def _installed(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    # W&B leaves a folder `wandb` where it was run; a folder without code is found too, but has no origin.
    return spec is not None and spec.origin is not None


def flat(config: Json, above: str = "") -> dict[str, bool | float | str]:
    """Nested JSON values as one level of names with slashes; what is neither number nor text is left out."""
    found: dict[str, bool | float | str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{name}/")
        elif isinstance(value, bool | int | float | str):
            found[above + name] = value
    return found


def indented(text: str) -> str:
    """Markdown that shows the text as it is."""
    return "\n".join(f"    {line}" for line in text.split("\n"))


def say(text: str) -> None:
    """A line in the mirror's own log."""
    print(localized(text), flush=True)
