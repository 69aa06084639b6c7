"""A file in, a file out: every row with its answer, bad rows apart, in constant memory."""
