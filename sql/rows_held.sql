-- rows_held: the rows of some dates, each as text, with what tells it apart.
SELECT
  date,
  id,
  held{columns},
  ROW_NUMBER() OVER (PARTITION BY date, id ORDER BY held) AS nth
FROM (
{rows}
)
