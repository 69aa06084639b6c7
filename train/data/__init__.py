"""From the name, the path or the URL of a dataset to typed, clean, split rows."""
