"""What tests of both warehouses do to a table of games."""

REPLACE = """
MERGE raw.games USING (
  SELECT * REPLACE (n + 100 AS n) FROM raw.games WHERE game_date = @day
) AS fresh ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date IN (@day) THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
"""Writes the rows of `@day` anew."""
