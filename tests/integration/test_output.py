"""A command's output on its way into the log: capped, without secrets, and looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planner.pipeline.runners import Rule
from worker.processes import secrets
from worker.runners import output
from worker.runners.output import Output, captured
from worker.runners.rules import TOO_LARGE, rules_of, says, then


def write(log: Path, *parts: bytes, **options: object) -> Output:
    with captured(log=log, **options) as made:  # type: ignore[arg-type]
        for part in parts:
            os.write(made.pipe, part)
    return made


def test_a_log_that_is_full_is_put_aside_and_one_before_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOG_BYTES", 10_000)
    log = tmp_path / "step.log"

    for n in range(50):
        write(log, *[b"%d " % n + b"x" * 95 + b"\n"] * 10)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["step.log", "step.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 25_000
    assert log.read_text().splitlines()[-1].startswith("49 ")


def test_a_command_never_waits_for_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    # Given a log on a disk that takes nothing, and more output than a pipe holds
    made = write(tmp_path / "none" / "step.log", *[b"x" * 999 + b"\n"] * 1000, b"the last line\n")

    # Then all of it was read, and what is told says that the log is not whole
    assert "the last line" in made.tail
    assert "its log is not whole: [Errno 2]" in made.tail


@pytest.mark.parametrize(
    "parts",
    [
        [b"the key is a-long-secret.\n"],
        [b"the key is a-lo", b"ng-secret.\n"],
        [b"a-long-secret"],
        [b"x" * (output.LINE_CHARS - 5) + b"a-long-sec", b"ret and more" * 2000],
    ],
)
def test_a_secret_does_not_get_into_the_log(tmp_path: Path, parts: list[bytes]) -> None:
    made = write(tmp_path / "log", *parts, hidden=["a-long-secret"])

    text = (tmp_path / "log").read_text()
    assert "***" in text
    assert "secret" not in text + made.tail


def test_bytes_that_are_no_text_and_lines_without_end_are_taken(tmp_path: Path) -> None:
    made = write(tmp_path / "log", b"\xff\xfe\n", *[b"y" * 50_000] * 4)

    assert made.tail.endswith("y")
    assert len(made.tail) <= output.TAIL_CHARS


@pytest.mark.parametrize(
    "line",
    [
        "413 Request Entity Too Large",
        "error: HTTP 413 from the service",
        "HTTP/1.1 413 Payload Too Large",
        '{"error": "x", "status_code": 413}',
        "<title>413 Request Entity Too Large</title>",
        "google.api_core.exceptions.RequestEntityTooLarge: 413 POST https://x: Payload too large",
    ],
)
def test_413_is_known_in_every_form(line: str) -> None:
    assert says(TOO_LARGE, line)


@pytest.mark.parametrize("line", ["413 rows written", "game 0022100413 done", "took 413 ms"])
def test_a_number_is_not_413(line: str) -> None:
    assert not says(TOO_LARGE, line)


def test_the_first_rule_that_fits_decides() -> None:
    own = (
        Rule(exit_code=3, output="locked", then="retry"),
        Rule(exit_code=3, then="fail"),
        Rule(timeout=True, then="retry"),
    )
    rules = rules_of(own, resumes=True)

    assert then(rules, code=3, said={0}, resumes=True) == "retry"
    assert then(rules, code=3, said=set(), resumes=True) == "fail"
    assert then(rules, code=None, said=set(), resumes=True) == "retry"
    assert then(rules, code=-11, said=set(), resumes=True) == "resume"
    assert then(rules, code=0, said=set(), resumes=True) is None
    assert then(rules_of((), resumes=True), code=None, said=set(), resumes=True) == "resume"
    assert then(rules_of((), resumes=False), code=None, said=set(), resumes=False) == "split"


def test_what_is_secret_is_known_by_name_and_by_place() -> None:
    environment = {
        "SERVICE_TOKEN": "token-of-mine",
        "DB_URL": "postgres://me:pass-of-mine@host/db",
        "HOME": "/home/of-mine",
        "SHORT_KEY_API_KEY": "abc",
    }

    text = secrets.redacted("token-of-mine pass-of-mine /home/of-mine abc", environment=environment)

    assert text == "*** *** /home/of-mine abc"
