"""The folder of artefacts: written, described, listed, pruned, tracked."""
