"""What the commands for people read: accounts, data sources and the filters on names."""
