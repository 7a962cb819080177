-- kept: the rows that were kept of some dates, as the table has its columns now.
SELECT {columns}
FROM {table}
WHERE {within}
