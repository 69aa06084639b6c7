"""The family of tables: scikit-learn pipelines."""
