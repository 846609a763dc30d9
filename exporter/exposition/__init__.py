"""From a snapshot to the bytes of `/metrics`, and the exporter's own telemetry."""
