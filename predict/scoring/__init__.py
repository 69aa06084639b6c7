"""The scoring of instances: what goes into a model, and the predictions that come out."""
