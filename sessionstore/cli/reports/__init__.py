"""What the command report asks, and how its answers look."""
