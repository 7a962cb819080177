-- restore: put rows that were kept back in the place of those that are there now, in one commit.
-- Rows of no other date are touched.
MERGE {table}
USING (
{kept}
) ON FALSE
WHEN NOT MATCHED BY SOURCE AND ({within}) THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
