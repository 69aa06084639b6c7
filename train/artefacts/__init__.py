"""The folder of artefacts: written, described, listed, tracked."""
