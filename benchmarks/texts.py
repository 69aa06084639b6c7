"""The time of one answer to a text, and of a batch, in this process and on one core, beside what everybody knows.

Use: python -m benchmarks.texts ARTEFACT FILE
FILE is a CSV with a column `text`, of the kind of texts that the artefact was trained on.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from predict.scoring.predictor import Predictor

_WORDS, _BATCH, _ROUNDS = 10, 256, 30


def best_s(call: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """Return the seconds of the least disturbed of several calls."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def each_us(call: Callable[..., object], given: Sequence[Any], rounds: int = 100) -> float:
    """Return the microseconds of a call, the mean over what is given of the least disturbed of several rounds."""
    best = [float("inf")] * len(given)
    for _ in range(rounds):
        for index, item in enumerate(given):
            started = time.perf_counter()
            call(item)
            best[index] = min(best[index], time.perf_counter() - started)
    return sum(best) / len(best) * 1e6


@click.command()
@click.argument("artefact", type=Path)
@click.argument("file", type=Path)
def main(artefact: Path, file: Path) -> None:
    """Print the microseconds of an answer and its steps, and the texts a second of a batch."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    predictor = Predictor.load(artefact)
    texts = pd.read_csv(file, keep_default_na=False)["text"].astype(str).tolist()
    short = [text for text in texts if len(text.split()) == _WORDS][:200]
    single = [predictor.check_texts([text]) for text in short]
    for instances in single:
        predictor.predict(instances)
    encode, session = predictor._inputs.batches, predictor._session
    feeds = [next(iter(encode(instances)))[0] for instances in single]
    names = session.outputs[:1]

    answer = each_us(predictor.predict, single)
    call = each_us(lambda feed: session.run(names, feed), feeds)
    encoding = each_us(lambda instances: list(encode(instances)), single)
    head = each_us(predictor._score, feeds)
    print(f"a text of {_WORDS} words, asked before: {answer:.1f} µs")
    print(f"  each step alone: encoding {encoding:.1f}, head {head:.1f}")
    print(f"  one onnxruntime call on the same head: {call:.1f}; ratio {answer / call:.2f}")

    batch = predictor.check_texts(texts[:_BATCH])
    predictor.predict(batch)
    ours = _BATCH / best_s(lambda: predictor.predict(batch))
    rest = predictor.check_texts(texts[_BATCH:])
    started = time.perf_counter()
    predictor.predict(rest)
    new = len(rest) / (time.perf_counter() - started)
    linear = make_pipeline(HashingVectorizer(), SGDClassifier(random_state=0))
    linear.fit(texts, [number % len(predictor.labels) for number in range(len(texts))])
    theirs = _BATCH / best_s(lambda: linear.predict(texts[:_BATCH]))
    print(
        f"a batch of {_BATCH}, asked before: {ours:,.0f} texts/s; {len(rest):,} new texts: {new:,.0f}/s"
    )
    print(f"  HashingVectorizer and a linear model: {theirs:,.0f}/s; ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
