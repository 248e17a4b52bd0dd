"""Leases, fencing, heartbeats and recovery, with real processes that are paused, killed, cut off and stopped."""
