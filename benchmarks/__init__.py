"""Cost of the exporter, as ratios measured side by side in one run."""
