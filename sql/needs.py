"""What a query needs of the tables that it names: some columns, and rows within some limits.

Both are read off the statement, and both may be more than it needs: DuckDB runs the whole
statement over what was fetched. What is not understood here limits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from sql.dialect import duckdb_sql

# Expressions of constants that give the same whenever they are asked: CURRENT_DATE is not among
# them, since the day may end between this and the query.
_CONSTANT = (
    exp.Parameter,
    exp.Var,
    exp.Literal,
    exp.Neg,
    exp.Cast,
    exp.DataType,
    exp.DataTypeParam,
    exp.Interval,
    exp.Date,
    exp.Datetime,
    exp.Timestamp,
    exp.DateAdd,
    exp.DateSub,
    exp.DatetimeAdd,
    exp.DatetimeSub,
    exp.TimestampAdd,
    exp.TimestampSub,
    exp.TimeToStr,
    exp.TsOrDsToDate,
    exp.TsOrDsToDatetime,
    exp.TsOrDsToTimestamp,
)
_COMPARED = {exp.EQ: "=", exp.GTE: ">=", exp.GT: ">", exp.LTE: "<=", exp.LT: "<"}
_MIRRORED = {"=": "=", ">=": "<=", ">": "<", "<=": ">=", "<": ">"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A condition that every row has to fulfil which the query uses. NULL fulfils none."""

    column: str
    operator: str
    """One of `=`, `>=`, `>`, `<=`, `<` and `IN`."""
    value: str
    """A constant as DuckDB says it; for `IN` an ARRAY."""


Limits = tuple[tuple[Limit, ...], ...]
"""Per place that names a table: a row is needed that is within all limits of one of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a query needs of one table."""

    name: str
    """As the query writes it: `dataset.table`."""
    shown: str
    """The name under which DuckDB reads it. It has a number: to DuckDB `a.T` is `a.t`."""
    columns: frozenset[str] | None
    """Names in lower case, of which the table has some, or none; None: all columns."""
    limits: Limits


def constants_of(needs: Iterable[Need]) -> Iterator[str]:
    """The constants of all limits, as DuckDB says them."""
    return (limit.value for need in needs for place in need.limits for limit in place)


def needs_of(tree: exp.Expr) -> tuple[Need, ...]:
    """What a query needs of each table that it names, its own WITH clauses aside."""
    places: dict[str, list[exp.Table]] = {}
    for reference in _references_in(tree):
        places.setdefault(_name(reference), []).append(reference)
    columns = _columns(tree)
    return tuple(
        Need(
            name=name,
            shown=f"{name} {n}",
            columns=columns,
            limits=tuple(tuple(_limits(each)) for each in references),
        )
        for n, (name, references) in enumerate(places.items())
    )


def shown(tree: exp.Expr, needs: Iterable[Need]) -> exp.Expr:
    """A query that reads each table under the name it is shown by."""
    tree = tree.copy()
    names = {need.name: need.shown for need in needs}
    for reference in _references_in(tree):
        name = names[_name(reference)]
        if not reference.alias:  # columns are named by it
            reference.set("alias", exp.TableAlias(this=_identifier(reference.name)))
        reference.set("this", _identifier(name))
        reference.set("db", None)
        reference.set("catalog", None)
    return tree


def _identifier(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _references_in(tree: exp.Expr) -> Iterator[exp.Table]:
    """Each place that names a table, its own WITH clauses aside."""
    own = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for reference in tree.find_all(exp.Table):
        if reference.db or reference.name.lower() not in own:
            yield reference


def _name(reference: exp.Table) -> str:
    return ".".join(part.name for part in reference.parts)


def _columns(tree: exp.Expr) -> frozenset[str] | None:
    """Every name in the statement; None where it asks for whole rows."""
    for star in tree.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            return None
    rows = {each.alias_or_name.lower() for each in tree.find_all(exp.Table)}
    if any(not each.table and each.name.lower() in rows for each in tree.find_all(exp.Column)):
        return None  # a table's name in place of a column is its whole row
    if any(join.args.get("method") for join in tree.find_all(exp.Join)):
        return None  # NATURAL: by all columns that are called alike
    return frozenset(name.name.lower() for name in tree.find_all(exp.Identifier))


def _limits(reference: exp.Table) -> Iterator[Limit]:
    """What the WHERE of a reference's SELECT demands of the reference alone.

    Rows that a condition does not let through may be left out below an outer join too: what
    stands in for them holds NULL, which the same condition does not let through either.
    """
    select = reference.parent and reference.parent.parent
    if not isinstance(reference.parent, exp.From | exp.Join) or not isinstance(select, exp.Select):
        return
    if (where := select.args.get("where")) is None:
        return
    is_alone = not select.args.get("joins") and not select.args.get("laterals")
    conditions = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
    for condition in conditions:
        for column, limit in _limits_in(condition.unnest()):
            if column.table.lower() == reference.alias_or_name.lower() or (
                is_alone and not column.table
            ):
                yield limit


def _limits_in(condition: exp.Expr) -> Iterator[tuple[exp.Column, Limit]]:
    match condition:
        case exp.Between(this=exp.Column() as column):
            for operator, side in ((">=", "low"), ("<=", "high")):
                yield from _limit(column, operator, condition.args[side])
        case exp.In(this=exp.Column() as column):
            unnest = condition.args.get("unnest")
            arrays = unnest.expressions if isinstance(unnest, exp.Unnest) else []
            if len(arrays) == 1 and isinstance(arrays[0], exp.Parameter):
                yield from _limit(column, "IN", arrays[0])
        case exp.EQ() | exp.GTE() | exp.GT() | exp.LTE() | exp.LT():
            operator = _COMPARED[type(condition)]
            one, other = condition.this, condition.expression
            if isinstance(one, exp.Column):
                yield from _limit(one, operator, other)
            elif isinstance(other, exp.Column):
                yield from _limit(other, _MIRRORED[operator], one)


def _limit(
    column: exp.Column, operator: str, value: exp.Expr
) -> Iterator[tuple[exp.Column, Limit]]:
    if all(isinstance(node, _CONSTANT) for node in value.walk()):
        yield column, Limit(column=column.name, operator=operator, value=duckdb_sql(value))
