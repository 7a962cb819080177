"""`make bench-peers`: a whole run of steps that do nothing, beside orchestrators in the same run.

python -m tests.bench.peers PLACE [ROUNDS]; PLACE has their environments, `airflow` and `dagster`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from planner.settings import Settings
from tests.bench.page import write
from tests.bench.peers import airflow, dagster
from tests.bench.peers.orchestrator import Orchestrator
from tests.bench.rows import Figures, Row, at_least, say, short
from tests.bench.whole import DATES, PHASES, WORKERS, Whole, whole
from worker.processes.embedded_redis import embedded_broker

ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An orchestrator, and how many times our CPU its own is to be at least."""

    make: Callable[[Path, Path], Orchestrator]
    told: str
    least: float


PEERS: Mapping[str, Peer] = {
    "airflow": Peer(make=airflow.airflow, told=f"LocalExecutor, {airflow.SLOTS} slots", least=25),
    "dagster": Peer(make=dagster.dagster, told=f"in process, {dagster.SLOTS} slots", least=60),
}


def main(place: Path, rounds: int) -> None:
    """All in turns, and the table."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    load = os.getloadavg()[0]
    found: dict[str, list[Whole]] = {"ours": [], **{name: [] for name in PEERS}}
    for n in range(rounds):
        with TemporaryDirectory() as at:
            say(f"round {n + 1} of {rounds}, load {os.getloadavg()[0]:.1f}")
            found["ours"].append(_ours(Path(at)))
            for name, peer in PEERS.items():
                say(f"  {name}")
                made = peer.make(place / name / "bin", Path(at) / name)
                found[name].append(made.measure(place / f"{name}.log"))
    for name, peer in PEERS.items():
        row = _row(peer, _version(place / name / "bin" / name), found["ours"], found[name])
        say(" | ".join(row.cells))
        write("peers", name, [row], load=load, order=[*PEERS])


def _ours(place: Path) -> Whole:
    settings = Settings(_env_file=None, home=place / "home")  # type: ignore[call-arg]
    (place / "ours").mkdir()
    with embedded_broker(settings):
        return whole(settings, place / "ours", real=False)


def _row(peer: Peer, version: str, own: list[Whole], others: list[Whole]) -> Row:
    cpu, peer_cpu = (Figures([each.cpu for each in side]) for side in (own, others))
    wall, peer_wall = (Figures([each.wall for each in side]) for side in (own, others))
    times = peer_cpu.over(cpu)
    return Row(
        question=f"{DATES} dates × {len(PHASES)} steps that do nothing, a step; here {WORKERS} "
        "slots",
        here=f"{cpu} CPU, {wall} by the clock",
        beside=f"{version} ({peer.told}) {peer_cpu} CPU, {peer_wall} by the clock: "
        f"{short(times)} × the CPU",
        mark=f"≥ {peer.least:g} ×",
        met=at_least(times, peer.least),
    )


def _version(program: Path) -> str:
    """Name and version, as its package tells."""
    name = {"airflow": "apache-airflow"}.get(program.name, program.name)
    asked = f"import importlib.metadata as m; print(m.version({name!r}))"
    python = program.with_name("python")
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    return f"{program.name.title()} {done.stdout.strip()}"


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
