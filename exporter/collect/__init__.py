"""Collectors and the refresh loop: they read MMS and build snapshots."""
