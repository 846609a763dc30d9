"""Operator commands: read MMS directly and print a table, JSON or CSV. Only `retry` writes."""
