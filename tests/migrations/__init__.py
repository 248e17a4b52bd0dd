"""The migrations: up, down, up again, from any start, in one transaction, and equal to the ORM classes."""
