"""The report for the sign-off of a migration: reading, record, document, and its formats."""
