-- Which games does the table hold on one date?
SELECT DISTINCT {game} AS game
FROM {table}
WHERE {date} = @day
ORDER BY game
