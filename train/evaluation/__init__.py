"""The evaluation layer: how good a model is, how sure that is, and where it is not."""
