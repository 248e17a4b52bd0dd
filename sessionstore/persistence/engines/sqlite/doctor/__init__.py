"""The doctor: what is well and what is not with a SQLite database, one finding or more for each question asked."""
