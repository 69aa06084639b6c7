"""The contract between training and serving: the format of an artefact, and the features that both sides compute."""
