"""`sessionstore verify`: the store's promises, tried on the user's own disk, in a scratch folder.

A door of its own: it knows the store by its public interface only, as any other program does. `run.verify` does it
all, `scenarios/` has a module for each promise. What is written are stories (`stories`) of which anybody can tell how
they must stand; children (`children`, `launcher`) write them and acknowledge every step over a pipe, so that what must
be there is known here when they are killed.
"""
