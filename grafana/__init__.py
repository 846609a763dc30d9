"""Dashboards of the exporter, and the code they are built from."""
