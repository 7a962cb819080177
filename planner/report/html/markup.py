"""Markup that escapes by default: text becomes markup only by being put into an element."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from planner.text import printable


class Markup(str):
    """Text that is markup already. Only this module and the page's own files make it."""

    __slots__ = ()


def el(name: str, *children: str, **attributes: str | int | float | None) -> Markup:
    """An element. Children that are not `Markup` are escaped, and so is every attribute.

    `class_` is `class`, `aria_label` is `aria-label`; an attribute that is None is left out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Parts one after another, those that are text escaped."""
    return Markup("".join(part if isinstance(part, Markup) else _text(part) for part in parts))


def _text(text: str) -> str:
    """Text of others, without control characters, that a page shows as it is."""
    return escape(printable(text), quote=True)
