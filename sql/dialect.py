"""GoogleSQL as DuckDB and Delta Lake say it: statements, types, names and values."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence, Set
from datetime import date

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from sql.errors import Unsupported, WarehouseRefused
from sql.warehouse import Parameters, Scalar

# sqlglot makes its dialects ready on first use; two threads that parsed at once were told
# "Expected TYPE after CAST" of a statement that is right.
_ONE_AT_A_TIME = threading.RLock()
_STYLE = re.compile("\x1b\\[[0-9;]*m")  # its messages underline for a terminal

_PROCEDURAL = frozenset(
    ["BEGIN", "CALL", "DECLARE", "EXECUTE", "FOR", "IF", "LOOP", "RAISE", "REPEAT", "SET", "WHILE"]
)
"""Words that begin a statement of BigQuery's procedural language."""

_ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "INTEGER": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "NUMERIC": pa.decimal128(38, 9),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATETIME": pa.timestamp("us"),
    "ARRAY<FLOAT64>": pa.list_(pa.float64()),
    "ARRAY<STRING>": pa.list_(pa.string()),
}
_GOOGLE = {
    arrow: google for google, arrow in _ARROW.items() if google not in ("INTEGER", "BOOLEAN")
}


def parse(statement: str) -> exp.Expr:
    """A GoogleSQL statement as a tree. Raises `WarehouseRefused` when it is not one statement."""
    try:
        with _ONE_AT_A_TIME:
            parsed = sqlglot.parse(statement, read="bigquery")
    except SqlglotError as error:
        told = _STYLE.sub("", str(error))
        raise WarehouseRefused(f"Not one GoogleSQL statement: {told}") from error
    # What follows the last semicolon, such as a comment, is parsed as another.
    trees = [tree for tree in parsed if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(trees) != 1:
        raise WarehouseRefused(several(len(trees)))
    return trees[0]


def several(count: int) -> str:
    """What is wrong with a text of so many statements, and what to do."""
    return (
        f"it holds {count or 'no'} statements, and has to be one: write each in a file of its own, "
        "and name the files in their order."
    )


def count_statements(text: str) -> int:
    """How many statements a text holds. A script in BigQuery's procedural language counts as one,
    and so does what is no GoogleSQL: the warehouse says what it has against them."""
    try:
        with _ONE_AT_A_TIME:
            tokens = sqlglot.tokenize(text, read="bigquery")
    except SqlglotError:
        return 1
    ends = [TokenType.SEMICOLON, *(token.token_type for token in tokens)]
    firsts = [
        token.text.upper()
        for token, before in zip(tokens, ends, strict=False)
        if before == TokenType.SEMICOLON and token.token_type != TokenType.SEMICOLON
    ]
    return 1 if _PROCEDURAL.intersection(firsts) else len(firsts)


def duckdb_sql(tree: exp.Expr) -> str:
    """GoogleSQL as DuckDB says it, with GoogleSQL's types.

    NUMERIC has 38 digits, 9 of them decimals, where DuckDB's has 18 and 3; `1.5` is a FLOAT64,
    where DuckDB's is a decimal. COUNTIF over no rows is 0, where DuckDB's is NULL. Sunday is the
    first DAYOFWEEK, where DuckDB's is 0. A number as a STRING is as short as it can be, `1` for
    1.0: `google_text` of `sql.duck` says it.
    """

    def typed(node: exp.Expr) -> exp.Expr:
        if (
            isinstance(node, exp.DataType)
            and node.this == exp.DType.DECIMAL
            and not node.expressions
        ):
            return exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
        if isinstance(node, exp.Literal) and not node.is_string and not node.this.isdigit():
            return exp.cast(node, "DOUBLE", dialect="duckdb")
        if isinstance(node, exp.CountIf):
            return _count_if(node.this)
        if isinstance(node, exp.Extract) and node.name.upper() == "DAYOFWEEK":
            return exp.paren(exp.Add(this=node.copy(), expression=exp.Literal.number(1)))
        if isinstance(node, exp.Cast) and node.to.this == exp.DType.TEXT:
            return exp.func("google_text", node.this)
        return node

    with _ONE_AT_A_TIME:
        tree = tree.copy()
        for node in reversed(list(tree.walk())):  # a part before what it is a part of
            if (new := typed(node)) is not node:
                tree = new if node is tree else tree
                node.replace(new)
        return tree.sql(dialect="duckdb")


def _count_if(condition: exp.Expr) -> exp.Expr:
    """COUNT, which may have a window, a DISTINCT and no rows."""
    is_distinct = isinstance(condition, exp.Distinct)
    (what,) = condition.expressions if is_distinct else (condition,)
    one = exp.func("IF", what, exp.Literal.number(1), exp.null(), dialect="bigquery")
    return exp.Count(this=exp.Distinct(expressions=[one]) if is_distinct else one)


def google_integers(rows: pa.Table) -> pa.Table:
    """DuckDB sums integers to 128 bits, which Arrow calls a decimal; GoogleSQL says INT64."""
    for n, column in enumerate(rows.schema):
        if pa.types.is_decimal(column.type) and column.type.scale == 0:
            rows = rows.set_column(n, column.name, rows.column(n).cast(pa.int64()))
    return rows


def parameter_names(tree: exp.Expr) -> frozenset[str]:
    """The parameters that a statement uses."""
    return frozenset(parameter.name for parameter in tree.find_all(exp.Parameter))


def bound(names: Set[str], given: Parameters) -> Parameters:
    """Those of the parameters that a statement uses. Raises `WarehouseRefused` if one is absent."""
    if absent := names - set(given):
        raise WarehouseRefused(f"The statement needs the parameter @{min(absent)}.")
    return {name: given[name] for name in names}


def literal(condition: exp.Expr, parameters: Parameters) -> str:
    """A condition with its parameters as literals: what Delta takes as a predicate."""
    values = bound(parameter_names(condition), parameters)

    def bind(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter):
            return _value(values[node.name])
        if isinstance(node, exp.Column):
            return exp.column(node.name, quoted=True)
        return node

    return duckdb_sql(condition.transform(bind))


def _value(value: Scalar | Sequence[Scalar]) -> exp.Expr:
    if isinstance(value, date):
        return exp.cast(exp.Literal.string(value.isoformat()), "DATE")
    return exp.convert(value)


def table_name(reference: exp.Expr | None) -> str:
    """`dataset.table` of a table that a statement writes. Raises `Unsupported` if it is none."""
    if not isinstance(reference, exp.Table):
        raise Unsupported("The statement writes to no table.")
    return ".".join(part.name for part in reference.parts)


def replacement_of(tree: exp.Merge) -> tuple[exp.Expr, exp.Expr]:
    """What a MERGE … ON FALSE inserts, and which rows it deletes. Raises `Unsupported`."""
    on = tree.args["on"]
    whens = tree.args["whens"].expressions
    deleted = [when for when in whens if when.args.get("source") and when.args.get("condition")]
    inserted = [when for when in whens if isinstance(when.args["then"], exp.Insert)]
    if not (isinstance(on, exp.Boolean) and not on.this and len(whens) == 2):
        raise Unsupported("The local warehouse runs only MERGE … ON FALSE: it replaces dates.")
    if len(deleted) != 1 or len(inserted) != 1 or inserted[0].args["then"].this.name != "ROW":
        raise Unsupported(
            "MERGE … ON FALSE needs WHEN NOT MATCHED BY SOURCE AND … THEN DELETE "
            "and WHEN NOT MATCHED BY TARGET THEN INSERT ROW."
        )
    return tree.args["using"], deleted[0].args["condition"]


def arrow_type(column: exp.ColumnDef) -> pa.DataType:
    """The Arrow type of a column in CREATE TABLE. Raises `Unsupported`."""
    written = column.args["kind"].sql(dialect="bigquery")
    try:
        return _ARROW[written]
    except KeyError:
        raise Unsupported(
            f"The local warehouse has no type {written} (column {column.name})."
        ) from None


def google_type(arrow: pa.DataType) -> str:
    """The GoogleSQL type of an Arrow type, such as `ARRAY<STRING>`."""
    if pa.types.is_list(arrow):
        return f"ARRAY<{google_type(arrow.value_type)}>"
    return _GOOGLE.get(arrow, str(arrow))


def quoted(identifier: str) -> str:
    """A name as DuckDB quotes it."""
    return exp.to_identifier(identifier, quoted=True).sql(dialect="duckdb")


def text(value: str) -> str:
    """A text as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"
