"""Targets of the coverage-guided fuzzer: `python -m tests.fuzz.run TARGET SECONDS`."""
