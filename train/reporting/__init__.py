"""Pages for people, and the pictures in them."""
