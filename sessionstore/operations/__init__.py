"""What the manager promises, one group of verbs a file. Functions over a `Store`; no SQL."""
