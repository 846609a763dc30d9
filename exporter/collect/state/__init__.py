"""State that collectors keep between refreshes."""
