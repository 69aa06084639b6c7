"""From texts and columns to what a model is fitted on."""
