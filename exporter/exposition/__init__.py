"""Renders snapshots as the body of `/metrics`, with the exporter's own telemetry."""
