"""The data layer: a named dataset, a file or an address becomes typed, clean, split rows."""
