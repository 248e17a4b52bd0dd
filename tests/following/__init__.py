"""Following changes across real processes, on SQLite."""
