"""The system's clock set to any time between 1970 and 2100 while a store is in use."""
