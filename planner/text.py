"""Text of others, made safe to show: a script's output must not give orders to a terminal."""

from __future__ import annotations

import re

MARK = "\N{REPLACEMENT CHARACTER}"

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 less tab and line feed, DEL, C1: escape sequences begin so
    "\u2028\u2029"  # line ends for some readers only
    "\u202a-\u202e\u2066-\u2069"  # turn the direction of what follows
    "\ud800-\udfff]"  # halves of characters, which cannot be written at all
)


_STYLE = re.compile("\x1b\\[[0-9;]*m")  # colours, which many scripts print


def printable(text: str) -> str:
    """The text without colours, and with a mark for every other character that does something."""
    return _CONTROL.sub(MARK, _STYLE.sub("", text))
