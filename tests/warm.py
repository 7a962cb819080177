"""What `tests.commands` imports last before it forks: what a command makes once, made once for all.

Models are built when they are first used, and statements are translated once per process. Both are
plain Python, of which a fork has its own copy. A DuckDB or a client is not: its threads would be
missing in a fork.
"""

from __future__ import annotations

import atexit
import gc
from datetime import date

from planner.data import Data
from planner.pipeline.load import load_pipeline, shipped
from sql.coverage import coverage_query
from sql.query import read_query

DAY = date(2024, 1, 1)


def _build(model: type[Data]) -> None:
    model.model_rebuild()
    for each in model.__subclasses__():
        _build(each)


_build(Data)
for name in shipped():
    for phase in load_pipeline(name).phases:
        for spec in phase.tables:
            read_query(coverage_query(spec.table, DAY, DAY)[0])
gc.collect()
gc.freeze()  # a collection would write to what all forks share
atexit.register(gc.unfreeze)  # else bindings that count their objects tell of them as leaked
