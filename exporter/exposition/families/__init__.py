"""The table of all metrics: one row per family."""
