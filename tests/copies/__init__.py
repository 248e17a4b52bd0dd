"""Copies of a store in use, and stores from such copies."""
