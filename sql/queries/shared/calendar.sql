-- The seasons of the pipeline file and their named parts ('' is the whole season), cut to the
-- dates asked for, and their days. A span without a season holds days on which nothing is due.
-- The first day of a season is day 0.
spans AS (
  SELECT
    season,
    @span_parts[OFFSET(n)] AS part,
    @span_years[OFFSET(n)] AS season_year,
    @span_starts[OFFSET(n)] AS starts,
    @span_ends[OFFSET(n)] AS ends
  FROM UNNEST(@span_seasons) AS season WITH OFFSET AS n
),
parts AS (
  SELECT
    season,
    part,
    starts,
    GREATEST(starts, @start_date) AS first_day,
    LEAST(ends, @end_date) AS last_day,
    starts >= @start_date AND ends <= @end_date AS is_whole
  FROM spans
  WHERE season_year IN UNNEST(@season_years)
    AND season <> ''
    AND starts <= @end_date
    AND ends >= @start_date
),
days AS (
  SELECT season, part, day
  FROM parts
  CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(first_day, last_day)) AS day
),
-- The phase is '' where nothing is due in any.
excluded AS (
  SELECT DISTINCT part AS phase, day
  FROM spans
  CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(starts, ends)) AS day
  WHERE season = ''
),
-- Days are numbered from the start of a season; without seasons, from the calendar's start alone.
bootstrap AS (
  SELECT day, DATE_DIFF(day, starts, DAY) AS day_number
  FROM UNNEST(@numbered_starts) AS starts WITH OFFSET AS n
  CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(
    starts, LEAST(@numbered_ends[OFFSET(n)], DATE_ADD(starts, INTERVAL 366 DAY))
  )) AS day
)
