"""Disks that are full, and disks that fail: each call of each deed of the store, refused by the system."""
