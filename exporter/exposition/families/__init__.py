"""The table of all metrics: one row for each family."""
