"""The contract between training and serving: an artefact's format, and the features that both sides compute."""
