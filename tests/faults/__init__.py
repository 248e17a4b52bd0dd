"""Faults, each brought about on purpose: what is promised of it holds, and fails once the protection is taken away.

A folder for each kind of fault. Each test has an extent for every run of the suite and one for `./run faults`.
"""
