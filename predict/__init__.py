"""Serve a Capstone artefact: the contract, the features, the predictor and its HTTP application.

Nothing here imports `train`, and the inference image holds this package alone.
"""
