"""Forks at every bad moment: the child works or gets a clear error, and its parent loses nothing."""
