"""Both engines answer the same expressions: Google's reference implementation, and DuckDB as the
local warehouse asks it. Where they do not, the documentation says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from sql.local import LocalWarehouse
from tests.analyzer import evaluate

DOCS = Path(__file__).parents[2] / "docs/pipeline-file.md"
ERROR = "an error"

NONE = "(SELECT {} FROM (SELECT 1 AS n, 'a' AS s, TRUE AS b) WHERE n > 1)"
NULLS = "(SELECT {} FROM (SELECT CAST(NULL AS INT64) AS n, CAST(NULL AS BOOL) AS b))"
SOME = "(SELECT {} FROM UNNEST([1, 2, 3, 3]) AS n)"

SAME = [
    *(NONE.format(each) for each in ("COUNTIF(b)", "COUNT(*)", "SUM(n)", "LOGICAL_OR(b)")),
    *(NONE.format(each) for each in ("BIT_XOR(n)", "STRING_AGG(s)", "COUNT(DISTINCT n)")),
    *(NULLS.format(each) for each in ("COUNTIF(b)", "COUNTIF(n > 1)", "LOGICAL_AND(b)")),
    *(SOME.format(each) for each in ("COUNTIF(n > 1)", "COUNT(IF(n = 3, 1, NULL))", "AVG(n)")),
    "(SELECT MAX(c) FROM (SELECT COUNTIF(n > 1) OVER () AS c FROM UNNEST([1, 2, 3]) AS n))",
    "CAST((SELECT COUNTIF(n > 1) FROM UNNEST([1, 2]) AS n) AS STRING)",
    "FARM_FINGERPRINT(CAST(NULL AS STRING))",
    # ids: what identifies a row in one table as a number does so in another as a text
    *(f"CAST({each} AS STRING)" for each in ("1", "1.0", "-0.0", "2.50", "1e15", "1e-7")),
    *(f"CAST({each} AS STRING)" for each in ("0.1 + 0.2", "123456789012345678.0", "1 / 3")),
    *(f"CAST(NUMERIC '{each}' AS STRING)" for each in ("1.50", "10", "0", "-0.25")),
    *(f"CAST({each} AS STRING)" for each in ("TRUE", "DATE '2024-01-05'", "'x'", "NULL")),
    "CAST(CAST('inf' AS FLOAT64) AS STRING)",
    "CAST(DATETIME '2024-01-05 01:02:03' AS STRING)",
    "CONCAT(CAST(7.0 AS STRING), '|', CAST(7 AS STRING))",
    "CAST(LENGTH(CAST(1.0 AS STRING)) AS STRING)",
    *(f"EXTRACT(DAYOFWEEK FROM DATE '2024-01-0{n}')" for n in (6, 7, 8)),
    "EXTRACT(WEEK FROM DATE '2024-01-07')",
    "DATE_DIFF(DATE '2024-03-01', DATE '2024-01-31', MONTH)",
    "DATE_DIFF(DATE '2024-01-08', DATE '2024-01-06', WEEK)",
    "DATE_TRUNC(DATE '2024-01-07', WEEK)",
    "DATE_TRUNC(DATE '2024-01-07', ISOWEEK)",
    "DATE_ADD(DATE '2024-01-31', INTERVAL 1 MONTH)",
    "LAST_DAY(DATE '2024-02-05')",
    "FORMAT_DATE('%Y%m%d %a %j %V', DATE '2024-01-05')",
    "PARSE_DATE('%Y%m%d', '20240105')",
    "SAFE_CAST('2024-1-5' AS DATE)",
    "SAFE_CAST('20240105' AS DATE)",
    *("1 / 2", "DIV(-7, 2)", "MOD(-7, 3)", "SAFE_DIVIDE(1, 0)", "ROUND(2.5)", "ROUND(-2.5)"),
    *("CONCAT('a', NULL)", "GREATEST(1, NULL)", "SUBSTR('abc', -2)", "LENGTH('ü')"),
    *("[1, 2, 3][SAFE_OFFSET(5)]", "SPLIT('a,b', ',')[OFFSET(1)]", "NULLIF(1, 1)"),
    *("REGEXP_EXTRACT('abc', 'b(c)')", "REGEXP_EXTRACT('abc', 'x')", "'a' < 'B'"),
]

REFUSED = ["9223372036854775807 + 1", "CAST('x' AS INT64)"]

DIFFERENT: dict[str, tuple[Any, Any]] = {
    "1 / 0": (ERROR, float("inf")),
    "CAST(2.5 AS INT64)": (3, 2),
    "[1, 2, 3][OFFSET(5)]": (ERROR, None),
    "SUBSTR('abc', 0, 2)": ("ab", "a"),
    "UPPER('ß')": ("SS", "ẞ"),
    "FARM_FINGERPRINT('a')": (-5528939962900187677, 6280914505603508067),
    "EXTRACT(ISOWEEK FROM DATE '2024-01-07')": (1, ERROR),
    "IEEE_DIVIDE(1, 0)": (float("inf"), ERROR),
    "TO_JSON_STRING(NUMERIC '1.25')": ('"1.25"', "1.250000000"),
    "TO_JSON_STRING(TIMESTAMP '2024-01-01 10:00:00+00')": (
        '"2024-01-01T10:00:00Z"',
        '"2024-01-01 10:00:00+00"',
    ),
}
"""Expression → what it is in GoogleSQL, and here."""

pytestmark = pytest.mark.xdist_group("analyzer")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWarehouse]:
    local = LocalWarehouse(tmp_path_factory.mktemp("dialects"))
    yield local
    local.close()


def here(local: LocalWarehouse, expression: str) -> Any:
    try:
        (row,) = local.rows(f"SELECT {expression} AS answer", {})
    except Exception:
        return ERROR
    answer = row["answer"]
    # DuckDB's intervals make a DATETIME of a DATE.
    return (
        answer.date() if isinstance(answer, datetime) and expression.startswith("DATE_") else answer
    )


def there(expression: str) -> Any:
    try:
        return evaluate(expression)
    except Exception:
        return ERROR


@pytest.fixture(scope="module")
def google() -> dict[str, Any]:
    """What each expression of `SAME` is by the reference, which is asked once for all of them: it
    makes all its functions anew for each question."""
    try:
        answers = evaluate(f"STRUCT({', '.join(SAME)})")
    except Exception:  # of one of them
        answers = map(there, SAME)
    return dict(zip(SAME, answers, strict=True))


@pytest.mark.parametrize("expression", SAME)
def test_both_engines_answer_the_same(
    local: LocalWarehouse, google: dict[str, Any], expression: str
) -> None:
    assert here(local, expression) == google[expression] != ERROR


@pytest.mark.parametrize("expression", REFUSED)
def test_both_engines_refuse_the_same(local: LocalWarehouse, expression: str) -> None:
    assert (here(local, expression), there(expression)) == (ERROR, ERROR)


@pytest.mark.parametrize("expression", DIFFERENT)
def test_a_known_difference_is_documented(local: LocalWarehouse, expression: str) -> None:
    """And is one still: a difference that is gone has to go from the list."""
    google, ours = DIFFERENT[expression]
    assert (there(expression), here(local, expression)) == (google, ours)
    assert f"`{expression}`" in DOCS.read_text(encoding="utf-8")


def test_the_reference_knows_what_is_wrong() -> None:
    """Or its agreement about errors would mean nothing."""
    assert there("1 + 1") == 2
    assert there("DATE '2024-01-05'") == date(2024, 1, 5)
    assert there("no_such(1)") == ERROR
