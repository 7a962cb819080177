-- changed: per date, which rows are new, gone, or hold something else than when they were kept?
-- Rows are told apart by `id`; those that share one are paired in the order of what they hold.
SELECT
  COALESCE(kept.date, found.date) AS date,
  COUNTIF(kept.id IS NULL) AS added,
  COUNTIF(found.id IS NULL) AS removed,
  COUNTIF(IFNULL(kept.held != found.held, FALSE)) AS changed{columns}
FROM (
{kept}
) AS kept
FULL JOIN (
{now}
) AS found
  ON kept.date = found.date AND kept.id = found.id AND kept.nth = found.nth
GROUP BY 1
ORDER BY 1
