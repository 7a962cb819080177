"""Text of others gives no orders: on a terminal, in Markdown, anywhere."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.markdown import Markdown
from rich.table import Table

from planner.console.output import SafeConsole, count_table, matrix_table
from planner.report.handoff import handoff_note
from planner.report.html.render import render_page
from planner.report.markdown import plain, render_markdown
from planner.report.message import run_ended, run_stalled
from planner.text import MARK, printable
from tests.reports import make_report
from tests.unit.worlds import bounded
from worker.processes.secrets import redacted

HOSTILE = (
    "\x1b]0;owned\x07 \x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\ \x1b[2J\x1b[1A\x9b31m"
    "\rdone\x08\x00 \u202egnp.exe \u2066x [red]y[/red] [/] :bug: | `ls` "
    "<script>z</script>\u2028 \ud800"
)
ORDERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
OWN = re.compile("\r?\x1b\\[(\\?25[lh]|[0-9;]*[mAKH])")
"""What rich itself writes: colours, and for a live view the cursor."""


def terminal() -> tuple[SafeConsole, io.StringIO]:
    file = io.StringIO()
    return SafeConsole(
        file=file,
        force_terminal=True,
        width=400,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    ), file


def orders_in(text: str) -> list[str]:
    return ORDERS.findall(OWN.sub("", text))


def table() -> Table:
    return count_table(HOSTILE, [HOSTILE.replace("[", "("), "n"], [[HOSTILE, 1]])


@pytest.mark.parametrize(
    "content",
    [
        lambda: HOSTILE.replace("[/]", ""),
        table,
        lambda: matrix_table({}, HOSTILE, HOSTILE.replace("[/]", "")),
        lambda: Markdown(render_markdown(make_report(error=HOSTILE, reason=HOSTILE))),
        lambda: Markdown(HOSTILE),
    ],
    ids=["text", "table", "matrix", "report", "markdown"],
)
def test_a_terminal_gets_no_orders_but_its_own(content: Callable[[], object]) -> None:
    console, file = terminal()

    console.print(content())

    assert file.getvalue()
    assert orders_in(file.getvalue()) == []
    assert "evil.example\x1b" not in file.getvalue()


def test_nor_does_a_live_view() -> None:
    console, file = terminal()

    with Live(table(), console=console, auto_refresh=False, redirect_stderr=False):
        pass

    assert MARK in file.getvalue()
    assert orders_in(file.getvalue()) == []


def test_markup_of_others_is_text() -> None:
    console, file = terminal()

    console.print(count_table("[/]", ["a"], [["[red]y[/red] [/] :bug:"]]))

    assert "[red]y[/red] [/] :bug:" in file.getvalue()


@pytest.mark.parametrize("render", [render_markdown, handoff_note])
def test_what_is_written_for_people_has_no_control_characters(render: object) -> None:
    text = render(make_report(error=HOSTILE, reason=HOSTILE))  # type: ignore[operator]

    assert orders_in(text) == []
    assert "<script>" not in text
    assert text.encode()


def test_a_report_of_anything_can_be_written_as_a_page() -> None:
    page = render_page(make_report(error=redacted(HOSTILE), reason=printable(HOSTILE)))

    assert page.encode()
    assert "<script>z" not in page


def test_what_a_step_keeps_of_an_error_is_clean() -> None:
    assert orders_in(redacted(HOSTILE)) == []


def test_colours_go_without_a_trace_and_all_else_leaves_a_mark() -> None:
    assert (
        printable("\x1b[1;31mfailed\x1b[0m: \x1b[2J\ttab\nline") == f"failed: {MARK}[2J\ttab\nline"
    )


@bounded
@given(text=st.text(st.characters(codec=None)))
def test_any_text_can_be_shown_and_what_is_shown_is_not_changed_again(text: str) -> None:
    shown = printable(text)

    assert orders_in(shown) == []
    assert shown.encode().decode() == shown
    assert printable(shown) == shown


LIVE = (
    "see https://evil.example <http://a.b|here> [x](http://c.d) <!channel> <@U1> @everyone www.e.f"
)


def test_text_of_others_is_no_link_and_no_mention_in_a_message() -> None:
    message = run_ended(make_report(error=f"{HOSTILE} {LIVE}", reason=LIVE))
    stalled = run_stalled("run-1", "shop", seconds=60, waits=LIVE)

    for told in (message.title, message.text, stalled.text):
        assert orders_in(told) == []
        for live in ("http:", "https:", "](", "<!", "<@", "<h", "@everyone", "www."):
            assert live not in told, live
    assert "see https\u2060://evil.example" in stalled.text
    assert "planner retry" in message.text  # what is to be copied is as it was


def test_text_of_others_is_no_link_and_no_mention_in_markdown() -> None:
    told = plain("see http://evil.example, HTTPS://a.b www.evil.example mailto:a@b.c and @everyone")

    assert "http\\://evil" in told
    assert "HTTPS\\://a.b" in told
    assert "www\\.evil" in told
    assert "mailto\\:a@\u2060b.c" in told
    assert "@everyone" not in told
    assert "@\u2060everyone" in told
