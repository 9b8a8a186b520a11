"""Posts: rows of dumps of forums, whose titles belong to what stands below them."""

import html
from collections.abc import Sequence

from daybreak.data.formats.rows.shape import MOST, Row, Shape, share

_GONE = ("[deleted]", "[removed]", "[ Removed by Reddit ]")


def reddit(rows: Sequence[Row]) -> Shape | None:
    """Posts, with their titles, and comments, as Pushshift and Reddit's API have them (arXiv:2001.08435)."""
    if share(rows, "subreddit") < MOST and share(rows, "subreddit_id") < MOST:
        return None
    if share(rows, "body") < MOST and share(rows, "selftext") < MOST:
        return None
    return Shape("rows are posts and comments of Reddit", _post)


def _post(row: Row) -> str | None:
    if not isinstance(row, dict):
        return None
    body, title = row.get("body", row.get("selftext")), row.get("title")
    said = [part.strip() for part in (title, body) if isinstance(part, str)]
    if isinstance(body, str) and body.strip() in _GONE:
        return None
    text = html.unescape("\n\n".join(part for part in said if part and part not in _GONE))
    return text if isinstance(body, str) and body.strip() else None  # a title alone is a link
