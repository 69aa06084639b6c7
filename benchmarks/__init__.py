"""What Capstone must reach, measured: each module prints a table."""
