"""Pages: HTML pages in one file each, with words, scripts, styles and data inside, that need no network."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

from daybreak.core.errors import UsageError, nearest
from daybreak.core.messages import LANGUAGES
from daybreak.core.values import Json

WEB = Path(__file__).resolve().parents[1] / "web"
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def filled(
    *, title: str, language: str, script: str, data: Json, live: bool = False, before: tuple[str, ...] = ()
) -> str:
    """The template page.html, filled.

    script: the file in web/ that draws the page; parts.js, charts.js and `before` are loaded before it. data: values by
    the name under which scripts read them. live: new facts come from the event stream "events". Raises UsageError: an
    unknown language.
    """
    scripts = [web("parts.js"), web("charts.js"), *map(web, before), web(script), *([web("live.js")] if live else [])]
    allowed = [f"'sha256-{_digest(one)}'" for one in scripts]
    blocks = [f'<script type="application/json" id="{name}">{embedded(value)}</script>' for name, value in data.items()]
    blocks += [f"<script>{one}</script>" for one in scripts]
    filling = {
        "language": {"en": "en", "zh": "zh-CN"}[language],
        "title": html.escape(title),
        "script_policy": " ".join(allowed),
        "connect_policy": "'self'" if live else "'none'",
        "style": web("page.css"),
        "blocks": "\n".join(blocks),
    }
    # One pass: a text that is put in may look like a field of the template and must stay as it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filling[match[1]], web("page.html"))


def words(language: str, name: str = "words.json") -> dict[str, str]:
    """A page's words by key, from a file of daybreak/web/. Raises UsageError: an unknown language."""
    if language not in LANGUAGES:
        raise UsageError(
            "unknown language for a page",
            received=f"--language {language}",
            attempt=nearest(language, LANGUAGES),
        )
    return {key: line[language] for key, line in json.loads(web(name)).items()}


def web(name: str) -> str:
    """The text of a file in daybreak/web/."""
    return (WEB / name).read_text(encoding="utf-8")


def embedded(value: object) -> str:
    """JSON for a <script> element: escaped, so that no text in it can end the element or open a comment."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).translate(_ESCAPES)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
