"""Hosts on one machine: network namespaces on a bridge, each with a name of its own.

A worker there reaches Redis and the service by its own network alone, whose cable can be pulled.
Files are shared, as on a network disk. Needs to be root, as in a container that may do so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

MASK = 24
BITS = 16  # of the process number: names of interfaces have 15 characters


@dataclass(frozen=True, kw_only=True)
class Host:
    """A network namespace, on the bridge."""

    name: str
    cable: str
    """The interface of its cable on the bridge's side."""

    def command(self, command: Sequence[str]) -> list[str]:
        """A command as it is started on the host."""
        named = f'hostname {self.name} && exec "$@"'
        return [
            *("ip", "netns", "exec", self.name),
            *("unshare", "--uts", "sh", "-c", named, "sh", *command),
        ]

    def cut(self) -> None:
        """Pull its cable: bytes stop, and neither side is told."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Put its cable in again."""
        _ip("link", "set", self.cable, "up")


@dataclass(frozen=True, kw_only=True)
class Network:
    """Some hosts, and the address by which they reach this one."""

    address: str
    hosts: tuple[Host, ...]


@contextlib.contextmanager
def network(count: int) -> Iterator[Network]:
    """A bridge with some hosts while the block runs. Skips where this may not be done."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "hostname"))):
        pytest.skip("hosts of one's own need root, iproute2 and util-linux")
    number = os.getpid() % 2**BITS
    bridge, net = f"bf{number}", f"10.{200 + number % 50}.{number // 50 % 250}"
    with contextlib.ExitStack() as ends:
        try:
            _ip("link", "add", bridge, "type", "bridge")
            ends.callback(_ip, "link", "del", bridge)
            _ip("addr", "add", f"{net}.1/{MASK}", "dev", bridge)
            _ip("link", "set", bridge, "up")
            hosts = tuple(_host(bridge, net, n, ends) for n in range(1, count + 1))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine may not make hosts of its own: {error.stderr.strip()}")
        yield Network(address=f"{net}.1", hosts=hosts)


def _host(bridge: str, net: str, number: int, ends: contextlib.ExitStack) -> Host:
    name, cable = f"{bridge}-{number}", f"{bridge}c{number}"
    _ip("netns", "add", name)
    ends.callback(_ip, "netns", "del", name)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", cable, "master", bridge)
    _ip("link", "set", cable, "up")
    _ip("-n", name, "addr", "add", f"{net}.{number + 1}/{MASK}", "dev", "eth0")
    for each in ("lo", "eth0"):
        _ip("-n", name, "link", "set", each, "up")
    return Host(name=name, cable=cable)


def _ip(*arguments: str) -> None:
    subprocess.run([_where(), *arguments], check=True, capture_output=True, text=True)


def _where() -> Path:
    return Path(shutil.which("ip") or "ip")
