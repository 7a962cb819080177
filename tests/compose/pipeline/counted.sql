INSERT INTO lake.counted SELECT day, game FROM lake.copied WHERE day BETWEEN @start_date AND @end_date
