"""Migrates again what failed: decides what a new job is to hold, and makes it exactly once."""
