"""The families of models, what they have in common, and how outputs become answers."""
