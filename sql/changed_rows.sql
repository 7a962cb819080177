-- changed_rows: some of the rows that are new, gone, or hold something else than when they were kept.
SELECT
  COALESCE(kept.date, found.date) AS date,
  kept.held AS old_held,
  found.held AS new_held
FROM (
{kept}
) AS kept
FULL JOIN (
{now}
) AS found
  ON kept.date = found.date AND kept.id = found.id AND kept.nth = found.nth
WHERE kept.id IS NULL OR found.id IS NULL OR kept.held != found.held
ORDER BY 1, COALESCE(kept.id, found.id), COALESCE(kept.nth, found.nth)
LIMIT @rows_shown
