-- Who took part in one game? For tables that know players or teams, and not games.
SELECT DISTINCT {column} AS member
FROM {table}
WHERE {date} = @day AND {game} = @game
ORDER BY member
