"""Leases on a real Redis: one holder at a time, whatever dies or sleeps."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest
import redis

from planner.settings import Settings
from tests.waiting import until
from worker.ledger.lease import PREFIX, Lease, Resource
from worker.processes.identity import is_dead, owner

DAY = Resource(name="nba:analytics:2022-04-16")
OTHER_DAY = Resource(name="nba:analytics:2022-04-17")
SHORT = 0.4  # seconds of silence that make a holder suspect
ELSEWHERE = "another-host|1|1"


def lease(client: redis.Redis, *resources: Resource, seconds: float = 30) -> Lease:
    return Lease(client, resources or (DAY,), seconds=seconds)


def test_one_holder_at_a_time(client: redis.Redis) -> None:
    first, second = lease(client), lease(client)

    assert first.acquire()
    assert not second.acquire()

    first.release()
    assert second.acquire()


def test_all_resources_or_none(client: redis.Redis) -> None:
    first, both = lease(client, DAY), lease(client, OTHER_DAY, DAY)
    assert first.acquire()

    assert not both.acquire()

    # The other day was not taken on the way
    assert lease(client, OTHER_DAY).acquire()


def test_a_capacity_lets_so_many_in(client: redis.Redis) -> None:
    slots = Resource(name="nba:analytics", capacity=2)
    holders = [lease(client, slots) for _ in range(3)]

    assert [holder.acquire() for holder in holders] == [True, True, False]

    holders[0].release()
    assert holders[2].acquire()


def test_a_heartbeat_keeps_it(client: redis.Redis) -> None:
    holder = lease(client, seconds=SHORT)
    assert holder.acquire()
    pretend_elsewhere(client, holder)

    with holder.kept_alive():
        deadline = time.monotonic() + 4 * SHORT
        while time.monotonic() < deadline:
            assert not lease(client, seconds=SHORT).acquire()

    assert not holder.is_lost


def test_a_silent_holder_elsewhere_is_suspected_before_it_is_evicted(client: redis.Redis) -> None:
    # Given a holder on another host that has gone silent
    began = time.monotonic()
    silent = lease(client, seconds=SHORT)
    silent.acquire()
    pretend_elsewhere(client, silent)

    # When others try for its resources
    next_one = lease(client, seconds=SHORT)
    until(next_one.acquire, seconds=10)

    # Then one gets them, but only after twice the lease: it could have been Redis that was away
    assert time.monotonic() - began >= 2 * SHORT

    # And the silent one finds out, and can give nothing back that is not its own
    assert silent.beat() is False
    assert silent.is_lost
    silent.release()
    assert not lease(client).acquire()


def test_a_sign_of_life_clears_a_suspicion(client: redis.Redis) -> None:
    holder = lease(client, seconds=SHORT)
    holder.acquire()
    pretend_elsewhere(client, holder)
    suspect = f"{PREFIX}:suspects"
    until(
        lambda: (
            not lease(client, seconds=SHORT).acquire() and client.hexists(suspect, holder.token)
        ),
        seconds=10,
    )

    assert holder.beat() is True

    assert not client.hexists(suspect, holder.token)


def test_silence_on_purpose_is_not_suspect(client: redis.Redis) -> None:
    parked = lease(client, seconds=SHORT)
    parked.acquire()
    pretend_elsewhere(client, parked)
    parked.beat(silent_seconds=60)

    deadline = time.monotonic() + 3 * SHORT
    while time.monotonic() < deadline:
        assert not lease(client, seconds=SHORT).acquire()

    # Who knows its token may go on in its place
    assert lease(client, seconds=SHORT).acquire(instead_of=[parked.token])


def test_a_holder_of_this_host_whose_process_is_gone_is_evicted_at_once(
    client: redis.Redis, redis_settings: Settings
) -> None:
    # Given a process that was killed while it held the lease
    script = textwrap.dedent(
        """
        import os, signal, sys
        from planner.settings import Settings
        from worker.ledger.connection import connect
        from worker.ledger.lease import Lease, Resource
        client = connect(Settings(_env_file=None, home=sys.argv[1]), patient=False)
        resources = [Resource(name=name) for name in sys.argv[2:]]
        assert Lease(client, resources, seconds=600).acquire()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    names = [DAY.name, OTHER_DAY.name]
    arguments = [sys.executable, "-c", script, str(redis_settings.home), *names]
    assert subprocess.run(arguments, check=False).returncode == -9

    # Then the next ones do not wait for the lease to run out, whatever they ask for first
    assert lease(client, OTHER_DAY).acquire()
    assert lease(client, DAY).acquire()


@pytest.mark.parametrize(
    ("who", "dead"),
    [
        (owner(), False),
        (f"{socket.gethostname()} another kernel|{os.getpid()}|1", False),
        (owner().rpartition("|")[0] + "|1", True),  # the number belongs to another process now
        (ELSEWHERE, False),
        ("", False),
        ("a|b", False),
        ("a|b|c|d", False),
    ],
    ids=[
        "this process",
        "its number, elsewhere",
        "its number, reused",
        "elsewhere",
        "nobody",
        "no birth",
        "too long",
    ],
)
def test_who_is_dead(who: str, dead: bool) -> None:
    assert is_dead(who) is dead


def pretend_elsewhere(client: redis.Redis, holder: Lease) -> None:
    client.hset(f"{PREFIX}:owners", holder.token, ELSEWHERE)
