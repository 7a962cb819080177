"""The pipeline file's runners: what makes a phase's rows.

What a kind of runner means to the rest of the program is a property of `RunnerSpec`. A new kind
overrides those that differ, and joins `Runner` below and the table in `worker.runners.choose`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from planner.pipeline.model import PATTERN_CHARS, Line, Model, Name, Pattern
from planner.pipeline.values import ValueName, ValueSpec
from sql.warehouse import Scalar

SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_?KEY|(^|_)AUTH$", re.IGNORECASE
)
"""Names of variables that hold secrets."""


class Rule(Model):
    """What an end of a script means. All conditions that are given have to hold."""

    exit_code: int | None = Field(default=None, ge=-64, le=255)
    """When it ends with this one; a signal's number is negative."""
    output: Annotated[Line, Field(max_length=PATTERN_CHARS)] | None = None
    """When a line of its output holds this text, with any exit code."""
    pattern: Pattern | None = None
    """When a line of its output matches this regular expression."""
    timeout: bool = False
    """When it runs longer than `timeout_seconds`."""
    then: Literal["split", "retry", "resume", "fail", "unchanged"]
    """`split` halves the range, `retry` runs it again after a pause, `resume` goes on where it got,
    `fail` does not try again, `unchanged` believes that nothing had to change, where the exit code
    is 0 and the recount shows the rows: the report calls such dates *unchanged, by its own
    word*."""

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if self.exit_code is None and not (self.output or self.pattern or self.timeout):
            raise ValueError("say when: exit_code, output, pattern or timeout")
        if self.timeout and self.exit_code is not None:
            raise ValueError("what times out has no exit_code")
        return self


class Resume(Model):
    """A script of several processors in order that can start from any of them.

    Which one is worked out from coverage: the first that has a table to fill.
    """

    argument: Line
    """Put before the number of the processor, such as `--start-from`. The first one goes
    without."""
    tables: tuple[tuple[str, ...], ...] = Field(min_length=1)
    """The tables of processor 1, of processor 2, and so on; every table of the phase once."""


class Secret(Model):
    """Where a secret is found: one of these. The secret itself is never in the file."""

    env: Line | None = None
    """Name of a variable."""
    file: Line | None = None
    """A file that holds nothing else."""
    command: tuple[Line, ...] = ()
    """Program and arguments that print it, such as `gcloud auth print-identity-token`."""
    google: bool = False
    """An identity token from Google's application default credentials."""
    audience: Line | None = None
    """The service that it is for. Without it: `url`."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [self.env, self.file, self.command, self.google]
        if sum(map(bool, given)) != 1:
            raise ValueError("name one source: env, file, command or google")
        if self.audience and not self.google:
            raise ValueError("an audience is for google")
        return self


class RunnerSpec(Model):
    """What every kind of runner says of itself."""

    note: Line | None = None
    """What to know where it is the one that is used: `planner doctor` and plans say it."""
    values: dict[ValueName, ValueSpec] = {}
    """What one run may set: [below](#a-value-that-a-run-sets)."""

    @field_validator("values")
    @classmethod
    def _no_secrets(cls, values: dict[str, ValueSpec]) -> dict[str, ValueSpec]:
        for name in values:
            if SECRET_NAME.search(name):
                raise ValueError(
                    f'{name} looks like a secret, and values are shown: write "${{NAME}}" instead, '
                    "and set it where workers start"
                )
        return values

    def chosen(self, given: Mapping[str, str]) -> dict[str, str]:
        """Every declared value: as a run sets it, else its default. Raises `ValueError`."""
        found = {}
        for name, spec in self.values.items():
            value = given.get(name, spec.default)
            why = spec.complaint(value)
            if why is not None:
                raise ValueError(f"{name} = {value!r} {why}")
            found[name] = value
        return found

    @property
    def is_polled(self) -> bool:
        """Whether its steps are short visits, and parked between them: no worker waits."""
        return False

    @property
    def service_url(self) -> str | None:
        """The service that works for its steps, one batch at a time; None without one."""
        return None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets that it sends."""
        return ()

    @property
    def takes_one_date(self) -> bool:
        """Whether every range that it is given is one date."""
        return False

    @property
    def folder(self) -> str | None:
        """The folder whose code it runs, as the file says it; None where it runs none."""
        return None

    @property
    def recipe(self) -> dict[str, Any]:
        """What of it, as the file says it, decides which rows it makes."""
        return {}

    @property
    def runs_code(self) -> bool:
        """Whether code makes its rows that is on the worker's machine."""
        return True

    @property
    def program(self) -> tuple[str, ...]:
        """The program whose files are that code, and its arguments; empty where none is named."""
        return ()

    @property
    def statement_names(self) -> tuple[str, ...]:
        """The statements that it runs: a dry run tells what they are billed."""
        return ()

    @property
    def resumes_by(self) -> tuple[str, ...]:
        """The tables that tell where it resumes; empty where it cannot."""
        return ()

    @property
    def labels_in(self) -> str:
        """Where its jobs find the labels of a step, in words."""
        return "its job has them"

    def writes_as_worker(self, credentials: str) -> bool:
        """Whether it writes with the worker's own credentials: those in that variable."""
        return False


class ScriptRunner(RunnerSpec):
    """Runs a command: an argument list, never a shell.

    `{start}` and `{end}` in an argument become the step's first and last date; `{dates}` its
    dates, joined by commas. `${NAME}` and `${NAME:-default}` are read from the worker's
    environment when the step runs.
    """

    kind: Literal["script"]
    """`script`"""
    command: tuple[Line, ...] = Field(min_length=1)
    """Program and arguments."""
    check: tuple[Line, ...] = Field(default=(), exclude=True)
    """Program and arguments that change nothing, such as `["python3", "jobs/trend.py", "--help"]`.
    `planner doctor` runs it as a step would be, in the same folder with the same variables, for
    half a minute at most: any exit code but 0 is a line of its own, with the last line that it
    wrote. Without one doctor says that the script is there, and that nothing of it was run. Nothing
    is run that is not named here: what `--help` does to a script that does not know it, only you
    know. No plan depends on it."""
    cwd: Line | None = None
    """Folder to run in. Without it: the worker's."""
    env: dict[str, str] = {}
    """Variables to add to the worker's environment. A secret goes by name: `API_TOKEN =
    "${API_TOKEN}"`."""
    outcomes: tuple[Rule, ...] = ()
    """What an end means; the first that fits, before what is built in."""
    resume: Resume | None = None
    """For a script of several processors that can start from any of them."""

    @field_validator("check")
    @classmethod
    def _no_dates(cls, check: tuple[str, ...]) -> tuple[str, ...]:
        for place in ("{start}", "{end}", "{dates}"):
            if any(place in word for word in check):
                raise ValueError(f"{place} is of a step, and a check is of none: leave it out")
        return check

    @field_validator("env")
    @classmethod
    def _secrets_by_name(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if SECRET_NAME.search(name) and value and "${" not in value:
                raise ValueError(
                    f'{name} looks like a secret: write "${{{name}}}", and set it where workers '
                    "start"
                )
        return env

    @property
    def folder(self) -> str | None:
        return self.cwd

    @property
    def program(self) -> tuple[str, ...]:
        return self.command

    @property
    def resumes_by(self) -> tuple[str, ...]:
        return tuple(name for names in self.resume.tables for name in names) if self.resume else ()

    @property
    def labels_in(self) -> str:
        return "BACKFILL_LABELS has them"

    @property
    def recipe(self) -> dict[str, Any]:
        return self.model_dump(
            mode="json", include={"kind", "command", "env", "outcomes", "resume"}
        )

    def writes_as_worker(self, credentials: str) -> bool:
        return credentials not in self.env


class HttpBatchRunner(RunnerSpec):
    """Starts a batch at an HTTP service and polls it until it ends. One batch at a time."""

    kind: Literal["http_batch"]
    """`http_batch`"""
    url: Line
    """Base address. `${NAME}` is read from the worker's environment, as in
    `https://me:${PASSWORD}@host`; a password itself is refused."""
    start_path: Line = "/start"
    """POST; answers with a `batch_id`, or without one when there is nothing to do."""
    status_path: Line = "/status"
    """GET with `?batch_id=`; answers `status`, or `progress.is_complete`."""
    health_path: Line = "/health"
    """GET, for `planner doctor`."""
    body: dict[str, Scalar] = {"start_date": "{start}", "end_date": "{end}"}
    """JSON to start with. A `force` in it is true only with `--force-service`."""
    per_date: bool = False
    """Whether each date is a batch of its own."""
    token: Secret | None = None
    """Where the token is found that is sent as `Authorization: Bearer`."""
    api_key: Secret | None = None
    """Where the key is found that is sent as `X-API-Key`."""
    # One that is known works up to nine minutes before it answers.
    start_timeout_seconds: float = Field(default=600, gt=0)
    """How long the answer to the start may take."""
    poll_seconds: float = Field(default=30, gt=0)
    """Longest pause between two looks; the first comes after half a second."""
    stall_seconds: float = Field(default=900, gt=0)
    """A batch that has not moved for so long has failed. It is not reset. A batch that the service
    no longer knows (404, `not_found`, `no_active_batch`) may still be written: it is started once
    more, without a retry, when the service did not know it and the rows stood still for so long.
    The report then says that two batches may have written the dates."""
    settle_seconds: float = Field(default=300, ge=0)
    """How long rows may take to appear after the service said complete."""

    @field_validator("url")
    @classmethod
    def _password_by_name(cls, url: str) -> str:
        if re.search(r"//[^/@:]*:(?!\$\{)[^/@]+@", url):
            raise ValueError('it holds a password: write "${NAME}", and set it where workers start')
        return url

    @property
    def is_polled(self) -> bool:
        return True

    @property
    def service_url(self) -> str | None:
        return self.url

    @property
    def runs_code(self) -> bool:
        return False

    @property
    def labels_in(self) -> str:
        return "a start's X-Backfill-Labels has them"

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(secret for secret in (self.token, self.api_key) if secret is not None)

    @property
    def takes_one_date(self) -> bool:
        return self.per_date

    @property
    def recipe(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "url", "start_path", "body"})


class SqlRunner(RunnerSpec):
    """Runs GoogleSQL statements in the warehouse with `@start_date` and `@end_date`.

    A name is a `.sql` file beside the pipeline file, or one that ships in `sql/`.
    """

    kind: Literal["sql"]
    """`sql`"""
    statements: tuple[Line, ...] = Field(min_length=1)
    """Names of `.sql` files in the folder of the pipeline file, or in `sql/`. One statement
    each."""

    @property
    def runs_code(self) -> bool:
        return False

    @property
    def statement_names(self) -> tuple[str, ...]:
        return self.statements

    def writes_as_worker(self, credentials: str) -> bool:
        return True


class PluginRunner(RunnerSpec):
    """A runner of one's own: an installed package names it in `backfill_fleet.runners`."""

    kind: Literal["plugin"]
    """`plugin`"""
    use: Name
    """The name of its entry point in `backfill_fleet.runners`."""
    options: dict[str, Scalar] = {}
    """What it is made with. `${NAME}` is read from the worker's environment; a secret has to be."""

    @field_validator("options")
    @classmethod
    def _secrets_by_name(cls, options: dict[str, Scalar]) -> dict[str, Scalar]:
        for name, value in options.items():
            if SECRET_NAME.search(name) and isinstance(value, str) and "${" not in value:
                raise ValueError(
                    f'{name} looks like a secret: write "${{NAME}}", and set it where workers start'
                )
        return options

    @property
    def recipe(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "use", "options"})

    def writes_as_worker(self, credentials: str) -> bool:
        return True


Runner = Annotated[
    ScriptRunner | HttpBatchRunner | SqlRunner | PluginRunner, Field(discriminator="kind")
]
