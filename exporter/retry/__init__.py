"""Retry of failed migrations: plans jobs and creates each of them exactly once."""
