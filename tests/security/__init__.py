"""What SECURITY.md promises: who may read the files, what no message repeats, and that data is never run."""
