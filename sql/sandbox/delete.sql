-- Makes a hole: the rows of some dates go, or of them only those that {also} names.
DELETE FROM {table}
WHERE {date} BETWEEN @start_date AND @end_date{also}
