"""Two artefacts on the same rows."""
