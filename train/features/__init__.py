"""The feature layer: texts and columns become what a model is fitted on."""
