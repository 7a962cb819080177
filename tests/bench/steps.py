"""What a step that does nothing costs on a real worker, beside bare Celery."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.delay import delayed as far
from tests.bench.fleet import Cost, bare, ours
from tests.bench.rows import Figures, Row, World, beside, limited, say, short
from tests.bench.worlds import PHASES

ROUNDS = 3
CHAINS = 300  # of four steps, on one slot
COUNTED = 50  # chains of which round trips are counted, or memory is taken: that needs no more
FAR, FAR_SECONDS = 50, 0.002  # chains; to Redis and back
SMALL, LARGE = 100, 10_000  # chunks


def rows(world: World) -> Iterator[Row]:
    """A step that does nothing: CPU, round trips and commands."""
    own, peer = _in_turns(world, CHAINS)
    yield beside(
        f"a step that does nothing, {CHAINS} chains of {len(PHASES)}, CPU: main process, child "
        "and Redis",
        Figures([cost.milliseconds for cost in own]),
        Figures([cost.milliseconds for cost in peer]),
        of="bare Celery",
        most=1.4,
    )
    for n, part in enumerate(("Redis", "main process", "child")):
        yield beside(
            f"of it: {part}",
            Figures([cost.parts[n] for cost in own]),
            Figures([cost.parts[n] for cost in peer]),
            of="bare Celery",
        )
    counted = ours(world.settings, world.place / "counted", COUNTED, count=True)
    bare_counted = bare(world.settings, world.place / "bare-counted", COUNTED, count=True)
    yield limited(
        "round trips to Redis per step, of the child",
        Figures([counted.trips], ""),
        most=9,
        beside=f"bare Celery {short(bare_counted.trips)}",
    )
    yield beside(
        "commands of Redis per step, those inside scripts too",
        Figures([cost.commands for cost in own], ""),
        Figures([cost.commands for cost in peer], ""),
        of="bare Celery",
    )


def delayed(world: World) -> Iterator[Row]:
    """The same with Redis some way off."""
    with far(world.settings.redis_url, FAR_SECONDS) as url:
        own, peer = _in_turns(world, FAR, worker_url=url)
    yield beside(
        f"a step by the clock, with {FAR_SECONDS * 1e3:.0f} ms to Redis",
        Figures([cost.wall for cost in own]),
        Figures([cost.wall for cost in peer]),
        of="bare Celery",
        most=1.5,
    )


def memory(world: World) -> Iterator[Row]:
    """Resident memory of a worker, for a small plan and for a large one."""
    costs: dict[int, list[Cost]] = {SMALL: [], LARGE: []}
    peer = []
    for n in range(ROUNDS):
        say(f"  round {n + 1} of {ROUNDS}")
        peer.append(bare(world.settings, world.place / f"bare-{n}", COUNTED))
        for chunks, found in costs.items():
            place = world.place / f"memory-{chunks}-{n}"
            found.append(ours(world.settings, place, chunks, sent=COUNTED))
    for n, part in enumerate(("main process", "child")):
        small, large = (
            Figures([cost.megabytes[n] for cost in found], "MB") for found in costs.values()
        )
        bare_size = Figures([cost.megabytes[n] for cost in peer], "MB")
        at = f"memory of the {part} at {LARGE:,} chunks"
        yield beside(at, large, bare_size, of="bare Celery", most=1.3)
        yield beside(f"{at}, beside {SMALL}", large, small, of=f"at {SMALL}", most=1.1)


def _in_turns(
    world: World, chains: int, *, worker_url: str | None = None
) -> tuple[list[Cost], list[Cost]]:
    """The product and its peer, in turns: the machine's load is that of both."""
    own, peer = [], []
    for n in range(ROUNDS):
        say(f"  round {n + 1} of {ROUNDS}")
        at = world.place
        peer.append(bare(world.settings, at / f"bare-{n}", chains, worker_url=worker_url))
        own.append(ours(world.settings, at / f"ours-{n}", chains, worker_url=worker_url))
    return own, peer
