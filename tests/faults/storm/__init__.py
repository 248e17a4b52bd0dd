"""A lock storm: many processes and threads write to one file, beside foreigners that hold its locks for seconds."""
