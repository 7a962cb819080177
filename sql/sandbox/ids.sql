-- Which ids does the table hold on one date?
SELECT DISTINCT {entity} AS id
FROM {table}
WHERE {date} = @day
ORDER BY id
