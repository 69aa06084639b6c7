"""What every HTTP service of ours has in common: the body of a problem, keys, and the headers of an answer."""
