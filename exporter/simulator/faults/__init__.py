"""Injected faults: in answers and on connections."""
