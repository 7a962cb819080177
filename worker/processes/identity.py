"""The identity of a process, unique over all hosts, and whether another one is gone."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


def owner() -> str:
    """This process: host, process number and start time, since numbers are used again."""
    return f"{_host()}|{os.getpid()}|{born(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether an owner was a process of this host, and is gone. False when that is unknown."""
    host, _, rest = owner.partition("|")
    pid, _, began = rest.partition("|")
    if host != _host() or not pid.isdigit() or not began:
        return False
    return born(int(pid)) != began and not _is_hidden(int(pid))


@cache
def _host() -> str:
    """Host, boot and process namespace: containers may share a host name, or a kernel."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        boot = numbers = ""
    return f"{socket.gethostname()} {boot} {numbers}".rstrip()


def born(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty when it is gone, or cannot be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _is_hidden(pid: int) -> bool:
    """Whether a process is there that `/proc` does not show: another user's, where it is mounted
    with `hidepid`."""
    if os.path.exists(f"/proc/{pid}"):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # there, and another user's
    return True
