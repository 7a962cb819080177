-- span_ids: which distinct ids of one entity does one table hold in each of some spans of days, such
-- as weeks? A part of differences.sql. Spans may overlap; the bounds let a table be pruned.
SELECT DISTINCT
  spans.span_date AS date,
  {entity} AS entity,
  held.id AS id
FROM (
  SELECT DISTINCT
    {day} AS day,
    {id} AS id
  FROM {table}
  WHERE {within}{filters}
) AS held
JOIN (
  SELECT
    span_date,
    @span_starts[OFFSET(n)] AS span_start,
    @span_ends[OFFSET(n)] AS span_end
  FROM UNNEST(@dates) AS span_date WITH OFFSET AS n
) AS spans
  ON held.day BETWEEN spans.span_start AND spans.span_end
