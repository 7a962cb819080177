"""A command's output: into the step's log without secrets, and matched line by line."""

from __future__ import annotations

import codecs
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from planner.files import private
from planner.pipeline.runners import Rule
from worker.processes.forms import begun, blacken, seen, spans_of
from worker.runners.rules import says

LOG_BYTES = 8_000_000  # a larger log is renamed to `.1`, and replaces the `.1` before it
READ_BYTES = 65_536  # at once: what a Linux pipe holds
LINE_CHARS = 16_384  # longer lines are cut: output without line ends must fit in memory
TAIL_LINES = 20  # of a failed command's output, shown in its error
TAIL_CHARS = 2_000  # of those, at most
DRAIN_SECONDS = 5.0  # to read the last lines, once every process that could write is dead


@dataclass(kw_only=True)
class Output:
    """What a command writes; `pipe` is its output. Made by `captured`."""

    log: Path
    rules: Sequence[Rule] = ()
    hidden: Sequence[str] = ()
    """Secrets, in every form."""
    pipe: int = -1
    said: set[int] = field(default_factory=set)
    """Rules, by number, that a line of the output matches."""
    trouble: str = ""
    """Why lines are missing from the log, such as a full disk."""
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    @property
    def tail(self) -> str:
        """The last lines."""
        lines = "\n".join(self._lines).strip()[-TAIL_CHARS:] or "no output"
        return f"{lines}\n(its log is not whole: {self.trouble})" if self.trouble else lines

    def say(self, text: str) -> None:
        """Write a line that the command did not."""
        with open(self.log, "ab", opener=private) as log:
            log.write(f"{self._clean(text)}\n".encode())

    def read(self, source: int) -> None:
        """Read the pipe's other end until it is closed."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while block := os.read(source, READ_BYTES):
            *lines, rest = (rest + decoder.decode(block)).split("\n")
            if len(rest) > LINE_CHARS:
                begin, rest = self._cut(rest)
                lines += [begin] if begin else []
            self._write(lines)
        rest += decoder.decode(b"", final=True)
        if rest:
            self._write([rest])
        os.close(source)

    def _cut(self, line: str) -> tuple[str, str]:
        """A long line in two, where no secret is: its end may be the beginning of one, or of an
        escape sequence in it."""
        end = begun(line)
        clear = seen(line[:end])
        longest = max(map(len, self.hidden), default=0)
        cut = max(0, len(clear) - longest)
        for start, stop in spans_of(clear, self.hidden):
            if start < cut < stop:
                # One that is repeated without end is one secret, and would never be cut before it.
                cut = start if stop - start <= 4 * longest else stop
        return clear[:cut], clear[cut:] + line[end:]

    def _write(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        texts = [text[:LINE_CHARS] for text in self._clean("\n".join(lines)).split("\n")]
        for text in texts:
            self._lines.append(text)
            self.said.update(n for n, rule in enumerate(self.rules) if says(rule, text))
        try:
            self._keep(texts)
        except OSError as error:  # a full disk: reading goes on, or the command would block
            self.trouble = str(error)

    def _keep(self, texts: Sequence[str]) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with open(self.log, "ab", opener=private) as log:
            log.write("".join(f"{text}\n" for text in texts).encode())

    def _clean(self, text: str) -> str:
        return blacken(text, self.hidden)


@contextmanager
def captured(
    *, log: Path, rules: Sequence[Rule] = (), hidden: Sequence[str] = ()
) -> Iterator[Output]:
    """Read what a command writes while the block runs. Give it the output's `pipe`."""
    source, pipe = os.pipe()
    output = Output(log=log, rules=rules, hidden=hidden, pipe=pipe)
    thread = threading.Thread(target=output.read, args=(source,), name="output", daemon=True)
    thread.start()
    try:
        yield output
    finally:
        os.close(pipe)
        thread.join(DRAIN_SECONDS)
