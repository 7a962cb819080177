"""Text for people: made safe to show, the nearest known word, dates and durations, streams."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

MARK = "\N{REPLACEMENT CHARACTER}"

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 less tab and line feed, DEL, C1: escape sequences begin so
    "\u2028\u2029"  # line ends for some readers only
    "\u202a-\u202e\u2066-\u2069"  # turn the direction of what follows
    "\ud800-\udfff]"  # halves of characters, which cannot be written at all
)


_STYLE = re.compile("\x1b\\[[0-9;]*m")  # colours, which many scripts print


def printable(text: str) -> str:
    """The text without colours, and with a mark in place of every other control character."""
    return _CONTROL.sub(MARK, _STYLE.sub("", text))


JOINER = "\N{WORD JOINER}"  # has no width
_LIVE = re.compile(r"(?i)(?:\b(?:https?|ftp|mailto|xmpp|www)(?=[:.])|@(?=\w)|<|\](?=\())")


def quiet(text: str) -> str:
    """The text for a chat, in whichever of their markups: no address in it is a link, and no name a
    mention."""
    return _LIVE.sub(lambda found: found[0] + JOINER, text)


ID_CHARS = 80  # of an id in a message; JSON has all of it


def shown_id(text: str) -> str:
    """An id in a sentence: as it is where it reads as one word, else quoted, on one line."""
    cut = text if len(text) <= ID_CHARS else f"{text[:ID_CHARS]}…"
    is_plain = cut.isprintable() and cut == cut.strip() and "," not in cut and cut
    return cut if is_plain else repr(cut)


def nearest(word: str, known: Iterable[str], *, what: str = "keys") -> str:
    """A hint for an unknown word: the nearest known one, or all of them where none is near."""
    known = list(known)
    near = difflib.get_close_matches(word[:WORD_CHARS], known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known {what}: {', '.join(known)}"


WORD_CHARS = 80  # of an unknown word: compared with the known ones, and shown


def date_runs(dates: Iterable[date], *, shown: int | None = None) -> str:
    """Every date, those in a row as `2022-04-16..2022-04-20`; at most `shown` of such rows."""
    runs: list[list[date]] = []
    for day in sorted(set(dates)):
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1][1:] = [day]
        else:
            runs.append([day])
    texts = ["..".join(map(str, run)) for run in runs]
    if shown is None or len(texts) <= shown:
        return ", ".join(texts)
    return f"{', '.join(texts[:shown])}, … {len(texts) - shown} more until {runs[-1][-1]}"


def duration(seconds: float) -> str:
    """`7 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def moment(seconds: float) -> str:
    """`2026-01-02 03:04:05 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def timestamp(seconds: float) -> str:
    """`2026-01-02T03:04:05Z`, as JSON has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DATES_SHOWN = 6  # of a long list of dates, or ranges of them, on the terminal


def date_ranges(dates: Iterable[date]) -> str:
    """Dates for the terminal, those in a row as one: the first few, how many more, and the last."""
    return date_runs(dates, shown=DATES_SHOWN)


def counted(count: int, noun: str) -> str:
    """`1 store`, `12 stores`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def through(raw: io.RawIOBase, stream: io.TextIOWrapper, *, errors: str | None) -> io.TextIOWrapper:
    """A text stream that writes by `raw` what `stream` would write by itself."""
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
    )
