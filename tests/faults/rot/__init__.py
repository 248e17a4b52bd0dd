"""Bit rot: what a disk gives back is not what was written. None of it is returned as right, and `check` finds it."""
