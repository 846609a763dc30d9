"""A long run of the real process under random faults, churn, scrapes and reloads: `python -m tests.soak`."""
