"""Builds the JSON under `grafana/dashboards`: `python -m grafana.builder` writes it.

The builders are of the 10.1 line of `grafana-foundation-sdk`, the oldest there is: its JSON is schema version 36, which
Grafana 9.4 (37) and all later ones migrate. Where 9.4 names an option otherwise, its name is the one written here.
"""
