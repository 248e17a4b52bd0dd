"""`sessionstore verify`: that it tells what held, sees what did not, keeps its bounds, and leaves nothing behind."""
