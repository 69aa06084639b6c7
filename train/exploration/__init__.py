"""A file that nobody has described yet: what is in it, and a first configuration for it."""
