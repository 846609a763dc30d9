"""The running exporter and its HTTP side."""
