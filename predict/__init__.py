"""The inference side: the contract of an artefact, the predictor, and its HTTP application.

Nothing here imports `train`. The inference image holds this package alone, so the version of the project is here.
"""

__version__ = "1.0.0"
