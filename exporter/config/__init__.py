"""The configuration: sections and loading, credentials, network, JSON Schema, YAML, change detection."""
