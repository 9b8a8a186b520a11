"""Slack's export: a zip of channels with a file a day, in which users are ids; one document a channel, with names."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.conversations.exports import slack_line
from daybreak.data.formats.conversations.transcript import NO_WORDS, transcript
from daybreak.data.formats.documents.package import Package, PackageFormat
from daybreak.data.formats.findings import Unsuitable

_DAY = re.compile(r"(?:.*/)?([^/]+)/\d{4}-\d{2}-\d{2}\.json")


def _users(package: Package) -> str:
    return next((name for name in package.names if name.rpartition("/")[2] == "users.json"), "")


def _recognize(package: Package) -> bool:
    return bool(_users(package)) and any(_DAY.fullmatch(name) for name in package.names)


def _documents(package: Package) -> Iterator[Document]:
    package.findings.say(package.stream.name, "an export of Slack; a channel is one document, without ids and times")
    names = _names(package)
    channels: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(package.names):
        if found := _DAY.fullmatch(name):
            channels[found[1]].append(name)
    for channel, days in channels.items():
        lines = _lines(package, days, names)
        yield from transcript(lines, f"{package.stream.name}/{channel}", package.findings)


def _names(package: Package) -> dict[str, str]:
    """What users are called, by their ids."""
    names = {}
    for user in _values(package, _users(package)):
        if isinstance(user, dict):
            profile = user.get("profile")
            about = profile if isinstance(profile, dict) else {}
            shown = about.get("display_name") or about.get("real_name") or user.get("real_name") or user.get("name")
            names[str(user.get("id"))] = str(shown or user.get("id"))
    return names


def _lines(package: Package, days: Sequence[str], names: dict[str, str]) -> Iterator[str]:
    for day in days:
        for message in _values(package, day):
            if isinstance(message, dict) and (line := slack_line(message, names)):
                yield line
            else:
                package.findings.skip_row(NO_WORDS)


def _values(package: Package, name: str) -> list[object]:
    """The values of a file that is a list. One that is none is named."""
    import orjson

    shown = f"{package.stream.name}/{name}"
    try:
        data = package.data(name, limits.HELD_BYTES)
        values = orjson.loads(data)
    except ValueError:
        package.findings.skip(shown, "broken JSON")
        return []
    except Unsuitable as error:
        package.findings.skip(shown, str(error))
        return []
    package.findings.bytes += len(data)
    return values if isinstance(values, list) else []


SLACK = PackageFormat(name="Slack", recognize=_recognize, documents=_documents)
