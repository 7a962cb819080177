"""What the warehouse shows of tables: counts, ids that differ, audits. Judges nothing."""
