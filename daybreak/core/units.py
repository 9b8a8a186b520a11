"""Durations, moments, sizes and rates: from what people write to numbers, and back."""

import datetime
import re
import urllib.parse

from daybreak.core.errors import UsageError

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SECONDS = 366 * 86400.0


def seconds_of(text: str) -> float:
    """'8h', '90m', '1h30m', '144s' or '144' in seconds. Raises UsageError."""
    compact = re.sub(r"(?<=\d) (?=[smhd])|(?<=[smhd]) (?=\d)", "", text.strip().lower())
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise UsageError(
            "the time budget is not a duration",
            received=f"--for {text}",
            attempt="a number with a unit, such as --for 90s, --for 20m, --for 8h or --for 1h30m; "
            "for a moment of the day use --until 07:00",
        )
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(
            "the time budget is out of range",
            received=f"--for {text}",
            attempt="more than zero and at most 366 days, such as --for 20m",
        )
    return seconds


def moment_of(text: str, now: datetime.datetime) -> datetime.datetime:
    """The next moment that the clock on the wall shows `text` ('07:00' or an ISO date and time).

    now: without a zone it is this machine's, whose clock may be set on or back before the moment.
    """

    def zoned(moment: datetime.datetime) -> datetime.datetime:
        if moment.tzinfo is None and now.tzinfo is not None:
            return moment.replace(tzinfo=now.tzinfo)
        return moment if moment.tzinfo else moment.astimezone()

    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text.strip()):
            hour, minute, *second = (int(part) for part in text.strip().split(":"))
            today = now.replace(hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0)
            # A clock that is set back shows the time twice.
            shown = (today.replace(fold=0), today.replace(fold=1), today.replace(fold=0) + datetime.timedelta(days=1))
            return next(moment for moment in map(zoned, shown) if moment.timestamp() > now.timestamp())
        moment = zoned(datetime.datetime.fromisoformat(text.strip()))
        wait = moment.timestamp() - now.timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            "the deadline is not a time of day or a date",
            received=f"--until {text}",
            attempt="a time of day such as --until 07:00, or a date and time such as --until 2030-01-31T07:00",
        ) from None
    if wait <= 0:
        raise UsageError(
            "the deadline has passed", received=f"--until {text}", attempt="give --until a time in the future"
        )
    if wait > LONGEST_SECONDS:
        raise UsageError(
            "the deadline is too far away",
            received=f"--until {text}",
            attempt="give --until a time within the next 366 days",
        )
    return moment


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def count(number: float) -> str:
    """12,345 as '12.3 thousand', for people."""
    for limit, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= 0.9995 * limit:
            return f"{number / limit:.3g} {word}"
    return f"{number:.0f}"


def address(source: str) -> str:
    """A web address as it may be shown: names, passwords and signatures that are a part of it are left out."""
    try:
        parts = urllib.parse.urlsplit(source) if source.startswith(("http://", "https://")) else None
    except ValueError:  # no address at all
        return source
    if parts is None or not parts.hostname:
        return source
    host = parts.hostname + (f":{parts.port}" if parts.port else "")
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "..." if parts.query else "", ""))


def size(number: float) -> str:
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if number >= 0.9995 * limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.0f} bytes"
