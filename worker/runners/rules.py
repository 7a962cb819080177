"""What an end of a script means: the pipeline file's rules, then the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from typing import Literal

from planner.pipeline.runners import Rule

TOO_LARGE = Rule(
    # As a status line, as a client's error, as JSON, and as the title of an HTML page.
    pattern=(
        r"(?i)\b413\b.{0,20}\btoo large|HTTP\S{0,4} 413\b|\b413 (GET|POST|PUT) "
        r"|\"?(status|code|status_code)\"?\s*[:=]\s*\"?413\b|<(title|h1)>\s*413\b"
    ),
    then="split",
)
TIMED_OUT = Rule(timeout=True, then="split")

Then = Literal["split", "retry", "resume", "fail", "unchanged"]


def rules_of(own: Sequence[Rule], *, resumes: bool) -> tuple[Rule, ...]:
    """Every rule, in the order in which they are tried."""
    timed_out = Rule(timeout=True, then="resume") if resumes else TIMED_OUT
    return (*own, TOO_LARGE, timed_out)


def says(rule: Rule, line: str) -> bool:
    """Whether a line of output matches the rule."""
    if rule.output is not None and rule.output not in line:
        return False
    if rule.pattern is not None and not _compiled(rule.pattern).search(line):
        return False
    return rule.output is not None or rule.pattern is not None


def then(
    rules: Sequence[Rule], *, code: int | None, said: Collection[int], resumes: bool
) -> Then | None:
    """What to do after an end; None for a good one. No `code`: it timed out."""
    for n, rule in enumerate(rules):
        if rule.timeout and code is not None:
            continue
        if rule.exit_code is not None and rule.exit_code != code:
            continue
        if (rule.output is not None or rule.pattern is not None) and n not in said:
            continue
        if (
            rule.then == "unchanged" and code != 0
        ):  # an exit code but 0 is a failure, also after a line that says "unchanged"
            continue
        return rule.then
    if code == 0:
        return None
    return "resume" if resumes else "retry"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
