-- audit: on which dates does an audit of the pipeline file find rows that are wrong?
SELECT DISTINCT {date} AS date
FROM (
  {audit}
)
