"""Train, evaluate and export models. Imports `predict` for the contract, and is never imported by it."""
