"""The words of the training texts, before anything is made of them. No gensim here."""

from predict.wording import counted


def no_words(least: int) -> str:
    """Say that no word is frequent enough to have a vector."""
    return (
        f"embeddings: no word occurs at least {counted(least, 'time')} in the texts (embeddings.min_count). "
        "Lower it, or check the text column of the dataset."
    )
