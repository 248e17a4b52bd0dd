"""Files that are no store, or none any more: refused with what and what to do, and left byte for byte as they were."""
