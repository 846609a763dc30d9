"""The simulated migration: data sources, jobs, events, time."""
