"""How a run grows past one machine: `make scaling` writes the figures of docs/scaling.md.

The plan's simulator plays a run of many chunks on more and more slots, and this machine's Redis
tells what a command takes of its one core; what a step asks of Redis is read off
docs/performance.md, where `make bench` measured it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import redis

from planner.pipeline.pipeline import Pipeline
from planner.plan.simulate import Work, elapsed
from planner.settings import Settings
from worker.ledger.connection import connect
from worker.processes.embedded_redis import embedded_broker

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
COMMANDS = re.compile(r"\| commands of Redis per step[^|]*\| ([\d.]+)")

CHUNKS = 2_000
PHASES = ("clean", "daily", "scores", "grades")
STEP_SECONDS = 60
SLOTS = (1, 16, 100, 1_000)
PROBES = 200_000  # commands of which Redis' CPU time is taken
DML_AT_ONCE = 2  # mutating statements that BigQuery runs at once on a table; it is in the document

MANY = 1_000
CASES: dict[str, dict[str, int]] = {
    f"`concurrency = {MANY}` in every phase": {"concurrency": MANY},
    "the same, and a lookback of 3 days in two phases": {"concurrency": MANY, "lookback_days": 3},
    "the `concurrency` that a phase has by itself": {},
    "`writers = 2` on every table": {"writers": DML_AT_ONCE},
    "one phase of four runs one at a time": {"alone": 1},
}


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A simulated run."""

    hours: float
    busy: float
    """Share of the slots' time in which they work."""

    def __str__(self) -> str:
        return f"{self.hours:,.1f} h, {self.busy:.0%} busy"


def main() -> None:
    """Write the figures into the document."""
    text = (DOCS / "scaling.md").read_text(encoding="utf-8")
    figures = "\n".join(_figures()) + "\n"
    told = FIGURES.sub(lambda _: figures, text)
    (DOCS / "scaling.md").write_text(told, encoding="utf-8")
    print(figures)


def _figures() -> Iterator[str]:
    yield f"{CHUNKS:,} chunks of four steps of {STEP_SECONDS} s, simulated:"
    yield ""
    yield from _row("", *(f"{slots:,} slot(s)" for slots in SLOTS))
    yield from _row("---", *("---" for _ in SLOTS))
    for name, limits in CASES.items():
        yield from _row(name, *(str(simulated(limits, slots)) for slots in SLOTS))
    yield ""
    commands, micros = commands_of_a_step(), redis_micros()
    able = 1e6 / micros / commands
    yield (
        f"A step asks Redis {commands} commands, and a command took {micros:.1f} µs of its core "
        f"here, so one Redis carries about {able:,.0f} steps a second:"
    )
    yield ""
    yield from _row("a step takes", "slots that one Redis carries", "its core at 1,000 slots")
    yield from _row("---", "---", "---")
    for seconds in (1, 10, STEP_SECONDS):
        share = 1_000 / seconds / able
        yield from _row(f"{seconds} s", f"{able * seconds:,.0f}", f"{share:.1%}")


def _row(*cells: str) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def simulated(limits: dict[str, int], slots: int) -> Grown:
    """A run on so many slots."""
    works = [
        Work(chunk=str(day), phase=phase, dates=(day,), seconds=STEP_SECONDS)
        for day in _days()
        for phase in PHASES
    ]
    seconds = elapsed(_pipeline(limits), works, slots=slots)
    work = len(works) * STEP_SECONDS
    return Grown(hours=seconds / 3_600, busy=work / seconds / slots)


def _days() -> Sequence[date]:
    return [date(2015, 1, 1) + timedelta(days=n) for n in range(CHUNKS)]


def _pipeline(limits: dict[str, int]) -> Pipeline:
    """raw → four phases; the limits are those of every table, or of one or two phases."""
    phases: list[dict[str, object]] = [{"name": "raw", "tables": [_table("raw")]}]
    for n, name in enumerate(PHASES):
        phase: dict[str, object] = {
            "name": name,
            "after": [phases[-1]["name"]],
            "tables": [_table(name) | {k: v for k, v in limits.items() if k == "writers"}],
            "runners": [{"kind": "script", "command": ["true"]}],
        }
        if "concurrency" in limits:
            phase["concurrency"] = limits["concurrency"]
        if name == "scores" and "alone" in limits:
            phase["concurrency"] = limits["alone"]
        if n in (1, 2) and "lookback_days" in limits:
            phase["lookback_days"] = limits["lookback_days"]
        phases.append(phase)
    return Pipeline.model_validate({"name": "grown", "start": date(2015, 1, 1), "phases": phases})


def _table(name: str) -> dict[str, object]:
    return {"name": f"lake.{name}", "date": "day", "entities": {"game": "game_id"}}


def commands_of_a_step() -> int:
    """As docs/performance.md tells."""
    found = COMMANDS.search((DOCS / "performance.md").read_text(encoding="utf-8"))
    assert found is not None, "docs/performance.md tells no commands per step"
    return round(float(found[1]))


def redis_micros() -> float:
    """Microseconds of Redis' CPU per command, of reads and writes of a hash as a step makes them:
    CPU time, since this machine may be busy with other things."""
    with tempfile.TemporaryDirectory() as place:
        settings = Settings(_env_file=None, home=Path(place))  # type: ignore[call-arg]
        with embedded_broker(settings):
            client = connect(settings, patient=False)
            before = _cpu(client)
            for _ in range(PROBES // 20):
                # Ten round trips' worth each time: a step sends its commands a few at a time.
                pipe = client.pipeline(transaction=False)
                for n in range(10):
                    pipe.hset("probe", str(n), "x" * 200)
                    pipe.hget("probe", str(n))
                pipe.execute()
            return (_cpu(client) - before) / PROBES * 1e6


def _cpu(client: redis.Redis) -> float:
    told = client.info("cpu")
    return float(told["used_cpu_sys"]) + float(told["used_cpu_user"])


if __name__ == "__main__":
    main()
