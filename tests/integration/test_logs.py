"""`planner logs`: what a step's scripts and statements said, or who has it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.sandbox.workers import environment_of
from tests.commands import Done, planner
from tests.integration.shop import RUN, Shop, day, lose_what_is_written
from worker.serve.tail import last_lines, log_file
from worker.step.errors import Requeue


def logs(shop: Shop, *arguments: str) -> Done:
    settings = shop.context.settings
    environment = environment_of(settings)
    return planner("logs", RUN, *arguments, environment=environment, cwd=settings.home)


def test_a_step_that_is_tried_again_shows_its_log(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    step, fine = f"{day(4)}/sessionise", f"{day(4)}/aggregate"
    lose_what_is_written(monkeypatch, day(4))
    with pytest.raises(Requeue):
        shop.visit(step)

    # Without a step, those that need a look are shown
    told = logs(shop)
    assert told.code == 0
    assert f"== {step} (pending)" in told.out
    assert "failed: 2025-03-04: rows missing" in told.out
    assert fine not in told.out

    # With one, it alone, as much of it as asked for
    found = logs(shop, step, "--lines", "1", "--json").json["logs"]
    assert [each["step"] for each in found] == [step]
    assert len(found[0]["lines"]) == 1
    assert found[0]["path"].endswith(f"{RUN}/2025-03-04.sessionise.log")

    # Where the log is on another machine, the ledger tells what it knows
    shutil.rmtree(shop.context.settings.home / "logs")
    told = logs(shop, step)
    assert "rows missing" in told.out
    assert "on the machine of me" in told.err
    assert "it never began" in logs(shop, fine).err


def test_a_step_that_is_none_is_named(shop: Shop) -> None:
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    shop.context.settings.home.mkdir(exist_ok=True)

    done = logs(shop, "2025-03-04/sesionise")

    assert done.code == 2
    assert "did you mean '2025-03-04/sessionise'?" in done.err


@pytest.mark.parametrize("what", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_stands_in_the_place_of_a_log_is_not_waited_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, what: Callable[[Path], object]
) -> None:
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    step = f"{day(4)}/sessionise"
    path = log_file(shop.context, RUN, step)
    path.parent.mkdir(parents=True)
    what(path)

    assert logs(shop, step, "--json").json["logs"][0]["lines"] == []
    assert last_lines(path) == []


def test_a_log_gives_a_terminal_no_orders(shop: Shop) -> None:
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    step = f"{day(4)}/sessionise"
    path = log_file(shop.context, RUN, step)
    path.parent.mkdir(parents=True)
    path.write_text("\x1b]0;owned\x07\x1b[2J[red]x[/red] \x9b31m\n", encoding="utf-8")

    told = logs(shop, step)

    assert "[red]x[/red]" in told.out
    assert not {"\x1b", "\x9b", "\x07"} & set(told.out + told.err)
