"""Interruptions at random moments: exceptions in any thread, signals, threads that die, shutdown in full swing."""
