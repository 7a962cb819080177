"""A command's output: into the step's log without secrets, and looked at line by line."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from planner.files import private
from planner.pipeline.runners import Rule
from worker.processes import secrets
from worker.runners.rules import says

LOG_BYTES = 8_000_000  # a log this big becomes `.1`, and the `.1` before it is gone
LINE_BYTES = 16_384  # longer lines are cut, so that output without line ends fits in memory
TAIL_LINES = 20  # of a failed command's output, shown in its error
TAIL_CHARS = 2_000  # of those, at most
DRAIN_SECONDS = 5.0  # for the last lines, once every process that could write is dead


@dataclass(kw_only=True)
class Output:
    """What a command writes while the block runs. Give it `pipe` as its output."""

    log: Path
    rules: Sequence[Rule] = ()
    hidden: Sequence[str] = ()
    """Secrets."""
    pipe: int = -1
    said: set[int] = field(default_factory=set)
    """Rules, by number, of which a line of the output speaks."""
    trouble: str = ""
    """Why lines are missing from the log, such as a full disk."""
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _source: int = -1
    _thread: threading.Thread | None = None

    def __enter__(self) -> Output:
        self._source, self.pipe = os.pipe()
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.pipe)
        if self._thread is not None:
            self._thread.join(DRAIN_SECONDS)

    @property
    def tail(self) -> str:
        """The last lines."""
        lines = "\n".join(self._lines).strip()[-TAIL_CHARS:] or "no output"
        return f"{lines}\n(its log is not whole: {self.trouble})" if self.trouble else lines

    def say(self, text: str) -> None:
        """Write a line of our own."""
        with open(self.log, "ab", opener=private) as log:
            log.write(f"{self._clean(text)}\n".encode())

    def _read(self) -> None:
        rest = b""
        while block := os.read(self._source, 65_536):
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > LINE_BYTES:
                # Keep what may be the beginning of a secret.
                keep = max((len(secret.encode()) for secret in self.hidden), default=0)
                lines.append(rest[: len(rest) - keep])
                rest = rest[len(rest) - keep :]
            self._write(lines)
        if rest:
            self._write([rest])
        os.close(self._source)

    def _write(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        texts = [self._clean(line.decode("utf-8", "replace"))[:LINE_BYTES] for line in lines]
        for text in texts:
            self._lines.append(text)
            self.said.update(n for n, rule in enumerate(self.rules) if says(rule, text))
        try:
            self._keep(texts)
        except OSError as error:  # a full disk: who stopped reading would block the command
            self.trouble = str(error)

    def _keep(self, texts: Sequence[str]) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with open(self.log, "ab", opener=private) as log:
            log.write("".join(f"{text}\n" for text in texts).encode())

    def _clean(self, text: str) -> str:
        for secret in self.hidden:
            text = text.replace(secret, secrets.BLACK)
        return text
