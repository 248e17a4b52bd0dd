"""Power cuts: what a disk may hold at any moment of a recorded run, and what the store makes of it afterwards."""
