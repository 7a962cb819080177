"""What a script's command says reaches the script as it stands, and no shell on the way."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.bench import DAYS, Bench
from worker.step.attempt import Ended

SHELL = ["; touch {harm}", "$(touch {harm})", "`touch {harm}`", "| touch {harm}", "*", "~", "a b"]
WRITES = "import json, sys; json.dump(sys.argv[1:], open({out!r}, 'w'))"


def test_arguments_are_handed_over_as_they_are(tmp_path: Path) -> None:
    bench = Bench(place=tmp_path)
    harm, out = tmp_path / "harm", tmp_path / "out.json"
    words = [word.format(harm=harm) for word in SHELL]
    code = WRITES.format(out=str(out))
    command = json.dumps(["python", "-c", code, "{start}", "{own}", *words])
    value = f"$(touch {harm}); {{end}}"
    runner = (
        f'[[phases.runners]]\nkind = "script"\ncommand = {command}\n'
        f'values = {{ own = {{ default = {json.dumps(value)}, pattern = ".*" }} }}\n'
    )

    ended = bench.attempt(runner, DAYS[:1])

    assert isinstance(ended, Ended), ended
    assert json.loads(out.read_text()) == [str(DAYS[0]), value, *words]
    assert not harm.exists()
