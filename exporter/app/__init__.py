"""The running exporter: account tasks, reload, readiness, systemd, shutdown."""
