"""Every command, given what it cannot use: one documented exit code, words, and nothing done.

In this process, as the console script runs it, with a real Redis and a real warehouse around it.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.integration.bad import BYTES, ESCAPE, HOSTILE, LINES, LONG, TURNED, UP, Run, everything

ADVICE = re.compile(  # what a message tells to do, one way or the other
    r"`planner|Try 'planner|[Ww]rite|[Nn]ame|[Ss]et |Give|give|Say|known|did you mean|2024"
    r"|lists|[Mm]ake|use |above|there are: |correct|check|not empty"
)

BEFORE_ANYTHING: dict[str, list[list[str]]] = {
    "run": [
        [command, word]
        for command in (
            *("status", "watch", "report", "pause", "resume", "cancel", "retry"),
            *("diff", "restore", "log", "logs"),
        )
        for word in ("run-1", "run-20260102-k7xq3w", *HOSTILE)
    ],
    "dates": [
        *(
            ["gaps", "--start", word]
            for word in (
                *("2024-02-30", "2024-13-01", "20240101", "2024-W01-1", "01.02.2024", "2024-1-1"),
                *("0000-01-01", "today", "٢٠٢٤-٠١-٠١", "2024-01-01T00:00", " 2024-01-01", *HOSTILE),
            )
        ),
        *(
            [*command, "--start", "2024-01-05", "--end", "2024-01-04"]
            for command in (["gaps"], ["plan"], ["validate"], ["enqueue", "--gaps"])
        ),
        *(
            [*command, end, "9999-12-31"]
            for command in (["gaps"], ["plan"], ["validate"], ["enqueue", "--gaps"])
            for end in ("--start", "--end")
        ),
        *(["retry", "run-1", "--dates", word] for word in (",", "2024-02-30", "2024-01-01,")),
        *(["retry", "run-1", "--dates", word] for word in HOSTILE),
        *([c, "run-1", "--dates", w] for c in ("diff", "restore") for w in (",", *HOSTILE)),
        *(["explain", "facts", word] for word in ("2024-02-30", *HOSTILE)),
        ["sandbox", "build", "new", "--until", "2024-02-30"],
    ],
    "season": [
        *(["gaps", "--season", word] for word in ("2023", "1", *HOSTILE)),
        ["gaps", "--season", "2024", "--start", "2024-01-01"],
        *(["sandbox", "build", "new", "--seasons", w] for w in ("1999", ",", "2021,x", *HOSTILE)),
        *(["demo", "--seasons", word] for word in ("1999", ",", *HOSTILE)),
    ],
    "phase": [
        *(["plan", "--phases", word] for word in ("raw", "fact", ",", "facts,raw", *HOSTILE)),
        *(["plan", "--from-phase", word] for word in ("raw", "fact", *HOSTILE)),
        ["plan", "--phases", "facts", "--from-phase", "facts"],
        *(["retry", "run-1", "--phase", word] for word in ("fact", *HOSTILE)),
        *([c, "run-1", "--phase", w] for c in ("diff", "restore") for w in ("fact", *HOSTILE)),
        *(["explain", word, "2024-01-01"] for word in ("fact", *HOSTILE)),
        *(["plan", "--runner", word] for word in ("facts", "facts=2", "facts=x", "raw=1")),
        *(["plan", "--runner", f"facts={word}"] for word in ("0", "-1", "9" * 400, "1.5", "٣")),
        *(["plan", "--runner", word] for word in HOSTILE),
        *(["up", "--queues", word] for word in ("fact", "facts,nothing", ",", *HOSTILE)),
    ],
    "number": [
        *(["plan", "--chunk-dates", word] for word in ("0", "-1", "367", "9" * 400, "1.5", "NaN")),
        *(["plan", "--limit", word] for word in ("0", "-1", "1e3", "")),
        *(["heal", "--days", word] for word in ("0", "3661", "-1", "9" * 400, "1.5", "NaN", "")),
        *(["heal", "--dates-a-day", word] for word in ("0", "-1", "1e3", *HOSTILE)),
        *(["heal", "--attempts", word] for word in ("0", "101", *HOSTILE)),
        *(["heal", "--dollars-a-day", word] for word in ("-1", "nan", "inf", "-inf", *HOSTILE)),
        *(["heal", "--every", word] for word in ("0", "-1h", "inf", "9" * 400, *HOSTILE)),
        *(["diff", "run-1", "--limit", word] for word in ("-1", "10001", "1e3", *HOSTILE)),
        *(["serve", "--port", word] for word in ("-1", "65536", "1.5", *HOSTILE)),
        *(["serve", "--gaps-every", word] for word in ("0", "-1h", "9" * 400, *HOSTILE)),
        *(
            ["enqueue", "--gaps", option, word]
            for option, words in {
                "--not-before": ("25:00", "22", "22:00", "-1:00"),
                "--until": ("24:01", "06:00"),
                "--priority": ("none", "-1", "9"),
                "--max-slots": ("0", "-1", "1.5", "9" * 400),
                "--max-dollars": ("-1", "nan", "inf"),
            }.items()
            for word in (*words, *HOSTILE)
        ),
        *(["up", "--workers", word] for word in ("0", "257", "-1", "many")),
    ],
    "text": [
        *(["plan", "--reason", word] for word in (LINES, ESCAPE, BYTES, LONG, TURNED)),
        *(["plan", "--as", word] for word in (LINES, ESCAPE, BYTES, LONG, TURNED)),
        *(["plan", "--set", word] for word in ("x", "=", "x=1", "start=2024-01-01", *HOSTILE)),
        *(["plan", "--set", f"x={word}"] for word in HOSTILE),
    ],
    "file": [
        *(["plan", "--out", word] for word in ("/proc/plan.json", "/dev/null/x", "warehouse", "")),
        *(
            ["enqueue", "--plan", word]
            for word in ("none.json", "warehouse", "bench.toml", "/dev/zero", "/proc/self/mem")
        ),
        *(["enqueue", "--plan", word] for word in (UP, LONG, BYTES, "")),
        *(["compare", word, word] for word in ("none", "warehouse", "/dev/zero", "bench.toml")),
        *(["compare", word, word] for word in ("/proc/self/mem", *HOSTILE)),
        *(["sandbox", "build", word] for word in ("warehouse", "/dev/null/x")),
        *(
            ["sandbox", "build", "new", "--boxscores", word]
            for word in ("none.parquet", "warehouse", "bench.toml", BYTES)
        ),
        ["demo", "--boxscores", "none.parquet"],
        ["report", "run-1", "--handoff", "/dev/null/x"],
        *(["init", "--tables", word] for word in ("none.at_all", "a.b,a.b", ",", *HOSTILE)),
        *(["init", word, "--tables", "lake.raw,lake.facts"] for word in ("warehouse", BYTES)),
        *(["serve", "--port", "0", "--address", word] for word in ("8.8.8.8", *HOSTILE)),
    ],
    "name": [
        *(["validate", "--save", word] for word in ("../x", "a/b", "..", ".", ".x", *HOSTILE)),
        *(["validate", "--question", word] for word in ("count", *HOSTILE)),
        *(["validate", "--print", word] for word in ("count", *HOSTILE)),
        ["validate", "--print", "counts", "--json"],
    ],
    "usage": [
        ["nothing"],
        ["gaps", "--nothing"],
        ["gaps", "extra"],
        ["enqueue"],
        ["enqueue", "--gaps", "--plan", "plan.json"],
        ["sandbox", "run"],
        *([ESCAPE], [BYTES], [LONG], [""]),
    ],
}
"""What is wrong → command lines that are refused as bad usage, before anything happens."""


FIFTH = 5
"""Of so many command lines `make test` takes one: of twelve hostile words an option meets two or
three."""


@pytest.mark.parametrize(
    "share", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, FIFTH))]
)
@pytest.mark.parametrize("what", BEFORE_ANYTHING)
def test_what_cannot_be_used_is_refused_in_words_and_nothing_is_done(
    run: Run, place: Path, client: redis.Redis, what: str, share: int
) -> None:
    before = everything(place, client)
    for arguments in BEFORE_ANYTHING[what][share::FIFTH]:
        told = run(*arguments)

        shown = [word[:40] for word in arguments]
        assert (told.code, told.out) == (2, ""), (shown, told)
        assert ADVICE.search(told.err), (shown, told.err)
        assert everything(place, client) == before, shown


def test_retry_takes_dates_with_commas_between(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def retried(context: Any, run_id: str, **wanted: Any) -> int:
        asked.append(wanted)
        return 2

    monkeypatch.setattr("worker.run.control.retry", retried)
    monkeypatch.setattr("planner.commands.control.open_run", lambda run_id: (None, None))
    monkeypatch.setattr("planner.commands.control.say_who_lacks_what", lambda *_: None)
    monkeypatch.setattr("planner.commands.control.noted", lambda *_: nullcontext())

    assert run("retry", "run-1", "--dates", "2024-01-01, 2024-01-03", "--json").code == 0
    (wanted,) = asked
    assert (wanted["phase"], wanted["dates"]) == (
        None,
        {date(2024, 1, 1), date(2024, 1, 3)},
    )
