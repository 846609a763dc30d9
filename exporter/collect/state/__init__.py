"""What collectors remember between refreshes."""
