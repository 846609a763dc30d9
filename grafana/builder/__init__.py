"""Builds the JSON under `grafana/dashboards`: `python -m grafana.builder` writes it.

The builders are the current line of `grafana-foundation-sdk`, with schema version 42; Grafana 11 and later load it.
"""
