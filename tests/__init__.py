"""The tests, and the processes that they start, run on the SQLite of Python unless they choose another one.

That is the stronger proof: most Pythons carry one that has the WAL-reset bug.
"""

import os

# Before anything is imported that decides it. The name is repeated for the same reason.
os.environ.setdefault("SESSIONSTORE_SQLITE_LIBRARY", "python")
