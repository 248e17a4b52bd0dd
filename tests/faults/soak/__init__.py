"""A store in use for long: what it takes at the end is what it took in the beginning."""
