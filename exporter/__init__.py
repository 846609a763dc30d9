"""Prometheus exporter for the MaxCompute Migration Service (MMS) of Alibaba Cloud."""

__version__ = "0.1.0"
__revision__ = "unknown"  # builds of the image and of a release write the commit here
DOCUMENTS = "https://github.com/mms-exporter/mms-exporter/blob/main/docs"
