"""Converters of scikit-learn's counts of words and characters, on normalised texts: tokens with a blank between them.

Vectorizers that do more to a text are refused before training (`checks`).
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from train.onnx_export.graph import ONNXRUNTIME_DOMAIN, Graph, Table, Tensor, joined


def count_vectorizer(graph: Graph, step: Any, table: Table) -> Table:
    """Convert CountVectorizer."""
    return Table((Tensor(_counts(graph, step, table), len(step.vocabulary_)),))


def tfidf_vectorizer(graph: Graph, step: Any, table: Table) -> Table:
    """Convert TfidfVectorizer, which has all the settings of a TfidfTransformer."""
    return tfidf_transformer(graph, step, count_vectorizer(graph, step, table))


def tfidf_transformer(graph: Graph, step: Any, table: Table) -> Table:
    """Convert TfidfTransformer."""
    counts = joined(graph, table)
    return Table((Tensor(_tfidf(graph, step, counts.name), counts.width),))


def _counts(graph: Graph, step: Any, table: Table) -> str:
    """Count n-grams of blank-separated tokens or of characters, <double>[n, num_ngrams]."""
    text = graph.add("Squeeze", joined(graph, table).name, np.array([1]))
    of_characters = step.analyzer == "char"
    tokens = _characters(graph, text) if of_characters else _tokens(graph, text)
    least, most = step.ngram_range
    by_length = _ngrams_by_length(step.vocabulary_, most, list if of_characters else _split)
    starts = itertools.accumulate(
        (length * len(ngrams) for length, ngrams in enumerate(by_length[:-1], 1)), initial=0
    )
    counts = graph.add(
        "TfIdfVectorizer",
        tokens,
        mode="TF",
        min_gram_length=least,
        max_gram_length=most,
        max_skip_count=0,
        pool_strings=[token for ngrams in by_length for ngram, _ in ngrams for token in ngram],
        ngram_counts=list(starts),
        ngram_indexes=[index for ngrams in by_length for _, index in ngrams],
    )
    counts = graph.to_double(counts)
    return graph.add("Min", counts, 1.0) if step.binary else counts


def _tokens(graph: Graph, text: str) -> str:
    tokens = graph.add("StringSplit", text)
    # Nothing reads StringSplit's second output, the number of tokens.
    graph.nodes[-1].output.append(graph.name())
    return tokens


def _characters(graph: Graph, text: str) -> str:
    # ONNX itself cannot do it: its StringSplit takes an empty delimiter for a blank.
    return graph.add(
        "Tokenizer",
        text,
        domain=ONNXRUNTIME_DOMAIN,
        separators=[""],
        mark=0,
        pad_value="",
        mincharnum=1,
    )


def _split(ngram: str) -> list[str]:
    return ngram.split(" ")


def _ngrams_by_length(
    vocabulary: Mapping[str, int], most: int, parts_of: Callable[[str], list[str]]
) -> list[list[tuple[list[str], int]]]:
    """Return the n-grams of 1, 2, ... `most` tokens, each with its column."""
    by_length: list[list[tuple[list[str], int]]] = [[] for _ in range(most)]
    for ngram, index in vocabulary.items():
        tokens = parts_of(ngram)
        by_length[len(tokens) - 1].append((tokens, int(index)))
    return by_length


def _tfidf(graph: Graph, step: Any, x: str) -> str:
    if step.sublinear_tf:  # 1 + log(count), and 0 stays 0
        logarithm = graph.add("Log", graph.add("Max", x, 1.0))
        x = graph.add("Add", logarithm, graph.add("Min", x, 1.0))
    if step.use_idf:
        x = graph.add("Mul", x, np.asarray(step.idf_, np.float64))
    if step.norm is None:
        return x
    if step.norm == "l1":
        length = graph.sum_rows(graph.add("Abs", x))
    else:
        length = graph.add("Sqrt", graph.sum_rows(x, "ReduceSumSquare"))
    return graph.add("Div", x, graph.add("Where", graph.add("Equal", length, 0.0), 1.0, length))
