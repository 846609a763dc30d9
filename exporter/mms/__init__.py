"""Client of the MMS API. It does not know Prometheus."""
