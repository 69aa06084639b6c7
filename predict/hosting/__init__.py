"""Which models a server has: from which files, and which of them is current."""
