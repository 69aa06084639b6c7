"""Scoring whole folders with Ray Data: `map_batches` over a pool of predictors."""
