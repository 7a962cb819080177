"""Which process this is, told apart from any other on any host, and whether another is gone."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


def owner() -> str:
    """This thread's process, told apart from any that had its number before."""
    return f"{_host()}|{os.getpid()}|{_born(os.getpid())}"


def is_dead(who: str) -> bool:
    """Whether an owner was a process of this host, and is gone. False when nobody can tell."""
    host, _, rest = who.partition("|")
    pid, _, born = rest.partition("|")
    if host != _host() or not pid.isdigit() or not born:
        return False
    return _born(int(pid)) != born


@cache
def _host() -> str:
    """Where process numbers mean what they mean here: containers may share a name, or a kernel."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        boot = numbers = ""
    return f"{socket.gethostname()} {boot} {numbers}".rstrip()


def _born(pid: int) -> str:
    """When a process started, by the kernel's count; empty when it is gone, or cannot be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
