"""The models that are loaded: several, changed while they answer."""
