"""Hostile values: each comes back exactly as it was given, or is refused in words, wherever it is handed in.

`SECRET` stands in every text among them: found in a message, a traceback or the log, it tells of a leak.
"""
