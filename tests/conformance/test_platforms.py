"""Claims about the platforms' routes, asked by the platforms' own clients."""
