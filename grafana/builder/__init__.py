"""Builds the JSON under `grafana/dashboards`: `python -m grafana.builder` writes it.

The builders are those of the 10.1 schema line of `grafana-foundation-sdk`, the oldest it has. Its JSON claims schema
version 36, which Grafana 9.4 (version 37) migrates like any older dashboard; later lines claim versions that 9.4 does
not know. Where 10.1 and 9.4 name an option differently, `panels` and `tables` write the name of 9.4, which every later
Grafana migrates when it loads.
"""
