"""Builds the JSON under `grafana/dashboards`: `python -m grafana.builder` writes it.

The builders are the 10.1 line of `grafana-foundation-sdk`, its oldest: the JSON has schema version 36, which Grafana
9.4 (37) and later migrate. Where 9.4 has another name for an option, that name is used here.
"""
