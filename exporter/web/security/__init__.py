"""The web configuration file: TLS, basic auth, headers."""
