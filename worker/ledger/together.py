"""Commands to Redis that go together: one round trip for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError

from worker.ledger.connection import script_id, script_text
from worker.ledger.refusals import refusal


class Together:
    """Collects commands and scripts, and sends them in one round trip, in order.

    Not a transaction: each script is atomic by itself, and others may come between.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.commands = client.pipeline(transaction=False)
        """For plain commands, as on a client."""
        self._client = client
        self._scripts: dict[int, tuple[str, Sequence[Any], Sequence[Any]]] = {}

    def script(self, name: str, *, keys: Sequence[Any], args: Sequence[Any]) -> None:
        """Add a script of `worker/ledger/lua`."""
        self._scripts[len(self.commands)] = (name, keys, args)
        self.commands.evalsha(script_id(name), len(keys), *keys, *args)

    def send(self) -> list[Any]:
        """Send them; the answers, in order. Raises the first error among them."""
        answers = self.answers()
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def answers(self) -> list[Any]:
        """Send them; the answers, in order, with an error in the place of what was refused.

        A Redis that restarted does not know the scripts: those that it did not run are run then.
        What was refused for the moment is asked again by itself, as often as the client retries.
        """
        asked = [args for args, _ in self.commands.command_stack]
        answers = self.commands.execute(raise_on_error=False)
        unknown = [n for n in self._scripts if isinstance(answers[n], NoScriptError)]
        for n in unknown:
            name, keys, args = self._scripts[n]
            answers[n] = self._client.eval(script_text(name), len(keys), *keys, *args)
        for n, answer in enumerate(answers):
            if isinstance(answer, Exception) and refusal(answer) is not None:
                answers[n] = self._again(n, asked[n])
        return answers

    def _again(self, n: int, asked: Sequence[Any]) -> Any:
        if n in self._scripts:
            name, keys, args = self._scripts[n]
            return self._client.eval(script_text(name), len(keys), *keys, *args)
        return self._client.execute_command(*asked)  # type: ignore[no-untyped-call]
