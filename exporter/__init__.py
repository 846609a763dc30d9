"""Prometheus exporter for the MaxCompute Migration Service (MMS) of Alibaba Cloud."""

__version__ = "0.1.0"
