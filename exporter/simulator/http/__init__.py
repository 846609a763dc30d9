"""The simulator's HTTP server: authentication, parameters, control."""
