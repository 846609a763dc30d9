"""Faults on command: in answers and on connections."""
