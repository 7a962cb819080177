DELETE FROM lake.counted WHERE day BETWEEN @start_date AND @end_date
