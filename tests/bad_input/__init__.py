"""What the store must refuse: with an error that names the culprit, and without changing anything."""
