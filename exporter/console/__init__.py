"""The commands for people on call: MMS asked directly, and shown as a table, JSON or CSV. Only `retry` writes."""
