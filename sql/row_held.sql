-- row_held: the rows of one table, each as text, with what tells it apart.
SELECT
  {day} AS date,
  TO_JSON_STRING(STRUCT({key})) AS id,
  TO_JSON_STRING(STRUCT({held})) AS held{columns}
FROM {table}
WHERE {within}
