"""How commands print: tables, JSON, CSV, the terminal, the next command."""
