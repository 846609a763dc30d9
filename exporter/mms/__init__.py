"""The client of the MMS API; it knows nothing of Prometheus."""
