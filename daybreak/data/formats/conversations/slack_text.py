"""Slack's text: links, mentions and entities of its mrkdwn as people read them."""

import html
import re
from collections.abc import Mapping

_MARK = re.compile(r"<([@#!])([^<>|]*)(?:\|([^<>]*))?>|<([^<>|\s]+)(?:\|([^<>]*))?>")


def plain_slack(text: str, names: Mapping[str, str]) -> str:
    """`<@U1>` as @name, `<https://x|words>` as its words, `&amp;` as &. names: of users, by their ids.

    Source: https://docs.slack.dev/messaging/formatting-message-text
    """

    def shown(found: re.Match[str]) -> str:
        sign, target, label, address, words = found.groups()
        if sign == "@":
            return f"@{names.get(target) or label or target}"
        if sign == "#":
            return f"#{label or target}"
        if sign == "!":
            return label or f"@{target.partition('^')[0]}"
        return words or str(address).removeprefix("mailto:")

    return html.unescape(_MARK.sub(shown, text)) if "<" in text or "&" in text else text
