"""A known secret is nowhere in what is kept, however a program printed it."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import shlex
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.address import masked
from tests.unit.worlds import bounded
from worker.processes import secrets
from worker.processes.forms import blacken, forms_of, seen
from worker.runners import output
from worker.runners.answers import text_of
from worker.runners.output import captured

# (what a program prints, what must not be found in it)
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda s: json.dumps({"token": s}),
    "JSON in JSON": lambda s: json.dumps(json.dumps([s], ensure_ascii=False)),
    "repr": lambda s: repr({"token": s}),
    "repr of more": lambda s: repr(f"it's {s}"),
    "bytes": lambda s: repr(s.encode()),
    "address": lambda s: quote(s, safe=""),
    "path": lambda s: quote(s),
    "form": lambda s: quote_plus(s),
    "HTML": html.escape,
    "shell": lambda s: shlex.quote(f"a b {s}"),
    "hex": lambda s: s.encode().hex(),
}
AROUND = st.text("0123456789 .,:\n", max_size=20)
"""What stands beside a secret: none of the letters that it begins with."""
COLOURS = st.sampled_from(["\x1b[31m", "\x1b[0m", "\x1b[1;38;5;200m", "\x1b[K", "\r", "\x00", ""])
SECRETS = (
    st.tuples(
        st.sampled_from("ghkq"),
        st.text(
            st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=4, max_size=90
        ),
    )
    .map("".join)
    .filter(
        lambda text: (
            "*" not in text and text == text.strip() and seen(text) == text and text.isprintable()
        )
    )
)


def log_of(blocks: list[bytes], secret: str) -> str:
    """What is in a step's log, and in an error, of a stream that came in these blocks."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        with captured(log=log, hidden=forms_of([secret])) as made:
            for block in blocks:
                os.write(made.pipe, block)
        return f"{log.read_text()}\n{made.tail}"


@given(data=st.data(), secret=SECRETS, form=st.sampled_from([*FORMS, "base64"]))
@bounded
def test_a_secret_in_any_form_split_anywhere_in_any_stream_is_nowhere(
    data: st.DataObject, secret: str, form: str
) -> None:
    before, after = data.draw(AROUND), data.draw(AROUND)
    filler = "." * data.draw(st.sampled_from([0, 0, 0, output.LINE_CHARS - 20, 70_000]))
    if form == "base64":
        encode = data.draw(st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
        text = encode(f"{before}{secret}{after}".encode()).decode()
        sought = encode(bytes(len(before.encode()) % 3) + secret.encode()).decode()[4:-4]
    else:
        text, sought = FORMS[form](secret), FORMS[form](secret)
    place = data.draw(st.integers(0, len(text)))
    coloured = text[:place] + data.draw(COLOURS) + text[place:]
    whole = f"{filler}{before}{coloured}{after}{filler}"
    raw = whole.encode()
    begin = len(filler)
    cuts = data.draw(st.lists(st.integers(begin, begin + len(raw) - 2 * len(filler)), max_size=3))
    edges = [0, *sorted(cuts), len(raw)]
    blocks = [raw[a:b] for a, b in pairwise(edges) if a < b]

    kept = {
        "log": log_of(blocks, secret),
        "message": secrets.redacted(whole, environment={"MY_TOKEN": secret}),
    }

    for where, found in kept.items():
        assert secret not in seen(found), where
        assert len(sought) < 5 or sought not in seen(found), where


def test_a_secret_is_not_cut_in_two_where_a_long_line_is() -> None:
    secret = "first-half+second-half"
    for reach in range(len(secret) + 1):
        line = b"x" * (output.LINE_CHARS - len(secret) + reach) + secret[:reach].encode()

        kept = log_of([line, secret[reach:].encode() + b"y" * 40_000], secret)

        assert "half" not in kept, reach
        assert "xx" in kept, reach


def test_a_longer_secret_that_begins_with_a_shorter_one_is_not_cut() -> None:
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        hidden = forms_of(["abcdefgh", "abcdefgh-and-more-of-it"])
        with captured(log=log, hidden=hidden) as made:
            os.write(made.pipe, b"x" * (output.LINE_CHARS + 30) + b"abcdefgh-and")
            os.write(made.pipe, b"-more-of-it" + b"y" * 40_000)
        assert "more" not in log.read_text()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("xabcaby", "x***y"),
        ("xabcabcaby", "x***y"),
        ("xabcabcabcabcaby", "x***y"),
        ("abcababcab", "******"),
        ("abcab-abcab", "***-***"),
        ("abcabcabc", "***c"),
        ("ddddddddddddd", "***"),
    ],
)
def test_of_a_secret_that_overlaps_itself_no_part_is_left(text: str, kept: str) -> None:
    assert blacken(text, ["abcab", "ddddd"]) == kept


def test_a_stream_of_colours_alone_is_not_kept_in_memory(tmp_path: Path) -> None:
    with captured(log=tmp_path / "log", hidden=["aaaaa"]) as made:
        for _ in range(10):
            os.write(made.pipe, b"\x1b[31m" * 10_000)
            os.write(made.pipe, b"a" * 50_000)

    assert "aaaaa" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "name",
    ["SMTP_PASS", "MYSQL_PWD", "SSH_PASSPHRASE", "GITHUB_PAT", "PGPASSWORD", "PASS", "DB_PASS_RO"],
)
def test_names_that_say_secret(name: str) -> None:
    assert secrets.redacted("it is 5Eg-t", environment={name: "5Eg-t"}) == "it is ***"


def test_headers_in_a_variable_are_secrets_each_by_its_value() -> None:
    environment = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%205Eg-tok3n,x-team=n0t-told"}

    said = secrets.redacted("sent Bearer 5Eg-tok3n, 5Eg-tok3n and n0t-told", environment)

    assert said == "sent ***, *** and ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PWD", "/srv/of-mine"),
        ("OLDPWD", "/srv/of-mine"),
        ("PATH", "/bin/of-mine"),
        ("BYPASS", "of-mine"),
        ("COMPASS_HOST", "of-mine"),
        ("USE_TOKEN", "false"),
    ],
)
def test_names_and_words_that_do_not(name: str, value: str) -> None:
    assert secrets.redacted(f"it is {value}", environment={name: value}) == f"it is {value}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("Driver={x};Uid=me;Pwd=of-mine;Server=db", "Driver={x};Uid=me;Pwd=***;Server=db"),
        ("Driver=x;PWD={of-mine};Server=db", "Driver=x;PWD=***;Server=db"),
        ("host=db password='of-mine' user=me", "host=db password=*** user=me"),
        ("redis://of-mine@host:6379/0", "redis://***@host:6379/0"),
        ("https://of-mine@github.example/x.git", "https://***@github.example/x.git"),
        ("postgres://me:of-mine@db/x", "postgres://me:***@db/x"),
        ("https://host/x?access_token=of-mine&y=1", "https://host/x?access_token=***&y=1"),
        ("https://host/x?token=of-mine&y=1", "https://host/x?token=***&y=1"),
    ],
)
def test_passwords_in_addresses(address: str, shown: str) -> None:
    assert masked(address) == shown
    assert "of-mine" not in secrets.redacted("it is of-mine", environment={"DSN": address})


def test_what_a_service_answers_is_redacted_before_it_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_TOKEN", "first-half+second-half")
    for place in range(470, 501):
        told = text_of({"error": "." * place + "first-half+second-half"})
        assert "first" not in told, place


def test_what_is_logged_cannot_look_like_lines_of_the_log() -> None:
    formatter = secrets.Redacting(logging.Formatter("[%(levelname)s] %(message)s"))
    said = "exit code 1: out\n[CRITICAL] forged\r[CRITICAL] too\u2028[CRITICAL] and this"
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "step: %s", (said,), None)

    lines = formatter.format(record).splitlines()

    assert [line for line in lines if line.startswith("[")] == ["[INFO] step: exit code 1: out"]
