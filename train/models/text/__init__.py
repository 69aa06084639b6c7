"""The family of texts: Keras on gensim vectors."""
