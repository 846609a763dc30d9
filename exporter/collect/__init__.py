"""From answers to a snapshot: the collectors and the refresh loop."""
