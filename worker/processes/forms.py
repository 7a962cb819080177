"""The forms in which text can hold a secret, and the secret blacked out of text in any of them.

Programs print a secret as it is, escaped for JSON, Python, HTML, a shell or an address, in base64
alone or as part of more, or in hexadecimal; and put colours between its characters. So text is
searched without what a terminal does not show, for every form.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

BLACK = "***"
SECRET_CHARS_MIN = 5  # shorter values are words of other texts

_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
# What is not seen on a terminal: colours, moves, titles (their length has a limit, so that output
# that never ends one is not waited for), other control characters, and those without a width.
_UNSEEN = re.compile(
    f"\x1b\\[[0-?]{{0,64}}[mABCDGHJKhl]|\x1b\\][^\x07\x1b\n]{{0,2048}}(?:\x07|\x1b\\\\)|{_CONTROL}"
)
_HIDDEN = (_UNSEEN, re.compile(_CONTROL))
"""What may stand in a secret, without and with what looks like the rest of an escape sequence: that
may be the secret, too."""
_BEGUN = re.compile("\x1b(?:\\[[0-?]{0,64}[ -/]{0,8}|\\][^\x07\x1b\n]{0,2048}\x1b?)?$")


def seen(text: str) -> str:
    """The text as a terminal shows it: without colours and control characters."""
    return _UNSEEN.sub("", text)


def begun(text: str) -> int:
    """Where an escape sequence begins that the text does not end; its length where none does."""
    found = _BEGUN.search(text)
    return found.start() if found else len(text)


def forms_of(secrets: Iterable[str]) -> list[str]:
    """Every form of every secret, the longest first, because one may be part of another."""
    return sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)


def spans_of(clear: str, forms: Iterable[str]) -> list[tuple[int, int]]:
    """From where to where text that was `seen` holds secrets; those that overlap as one."""
    return _merged([span for form in forms for span in _found(clear, form)])


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def blacken(text: str, forms: Collection[str]) -> str:
    """The text without the secrets that have these forms."""
    spans = []
    for hidden in _HIDDEN:
        clear = hidden.sub("", text)
        found = spans_of(clear, forms)
        if clear != text and found:  # places in what is seen are other places in the text
            places = _places(text, hidden)
            found = [(places[start], places[end - 1] + 1) for start, end in found]
        spans += found
    parts, done = [], 0
    for start, end in _merged(spans):
        parts += [text[done:start], BLACK]
        done = end
    return "".join([*parts, text[done:]])


def _found(text: str, form: str) -> Iterator[tuple[int, int]]:
    """From where to where text holds a form; those that overlap as one."""
    start = text.find(form)
    while start >= 0:
        end = start + len(form)
        while (last := text.rfind(form, end - len(form) + 1, end + len(form) - 1)) >= 0:
            end = last + len(form)
        yield start, end
        start = text.find(form, end)


def _places(text: str, hidden: re.Pattern[str]) -> list[int]:
    """Where each character that is left without the hidden ones stands in the text."""
    places: list[int] = []
    done = 0
    for unseen in hidden.finditer(text):
        places += range(done, unseen.start())
        done = unseen.end()
    return [*places, *range(done, len(text))]


@lru_cache(maxsize=1000)
def _forms(secret: str) -> frozenset[str]:
    once = {secret, *_escaped(secret)}
    twice = {form for text in once for form in _escaped(text)}  # such as JSON in JSON
    encoded = {form for text in once for form in _encoded(text)}
    forms = map(seen, once | twice | encoded)
    return frozenset(form for form in forms if len(form) >= SECRET_CHARS_MIN)


def _escaped(text: str) -> set[str]:
    octets = text.encode("utf-8", "surrogateescape")
    percent = {quote(octets, safe=""), quote(octets), quote_plus(octets)}
    # With both kinds of quotes behind it, so that single ones are escaped, as they may be.
    python = {repr(text + "'\"")[1:-4], repr(octets + b"'\"")[2:-4]}
    return {
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(text)[1:-1].replace("/", "\\/"),
        *python,
        *(form.replace("\\'", "'") for form in python),
        html.escape(text),
        html.escape(text, quote=False),
        text.replace("'", "'\"'\"'"),  # in a shell's quotes
        *percent,
        *(re.sub("%..", lambda found: found[0].lower(), form) for form in percent),
        octets.decode("utf-8", "replace"),
    }


def _encoded(text: str) -> set[str]:
    octets = text.encode("utf-8", "surrogateescape")
    found = {octets.hex(), octets.hex().upper()}
    for before in range(3):  # bytes before it, of three that make four characters
        whole = base64.b64encode(bytes(before) + octets).decode()
        # Without the characters that share bits with what stands before or after it.
        own = whole[-(-8 * before // 6) : 8 * (before + len(octets)) // 6]
        found |= {own, *(whole[n : n + width] for width in (64, 76) for n in _starts(own, width))}
    return found | {form.replace("+", "-").replace("/", "_") for form in found}


def _starts(own: str, width: int) -> range:
    """Where whole lines of a long secret begin, which is printed in lines of some characters."""
    return range(0, len(own) - width, width) if len(own) > width else range(0)
