"""Faults of the disk and sudden death, brought about call by call: a library between a process and its C library."""
