"""Processes that get in each other's way: a checkpoint beside a commit, and locks that are lost by close()."""
