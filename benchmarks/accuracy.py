"""The accuracy on every text dataset that is available, and the time of training, beside the baselines.

Use: python -m benchmarks.accuracy [DATASET]...
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from train.config import load_config
from train.data.cleaning import load_dataset
from train.data.splits import split_dataset

CONF = Path("conf/train-conf.yml.dist")
DATASETS = ("stackoverflow", "sms-spam", "docstrings", "ag-news")
METRICS = ("accuracy", "macro_f1", "log_loss", "pr_auc")


def measure(dataset: str) -> list[dict[str, Any]] | str:
    """Train on one dataset as `make train` does; return table rows, or why that is impossible."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, "-m", "train", "run", "--conf", str(CONF), "--dataset", dataset]
        options = [f"--set=artefacts_dir={folder}", "--set=offline=null"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        elapsed = time.perf_counter() - started
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
        metrics = json.loads((Path(folder) / "latest" / "metrics.json").read_text(encoding="utf-8"))
    rows = [{"model": "Capstone", "seconds": elapsed, **metrics}]
    rows += [{"model": name, **values} for name, values in metrics["baselines"].items()]
    return [*rows, _strong_baseline(dataset)]


def _strong_baseline(dataset: str) -> dict[str, Any]:
    """TF-IDF of words, word pairs and characters (2 to 5) with a linear SVM, which is hard to beat."""
    config = load_config(CONF, dataset=dataset)
    data = load_dataset(config)
    split = split_dataset(data, config)
    fitted_on = np.concatenate([split.train, split.validation])
    started = time.perf_counter()
    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        LinearSVC(C=0.3, random_state=0),
    ).fit(data.texts(fitted_on), data.targets[fitted_on])
    truth, texts = data.targets[split.test], data.texts(split.test)
    row = {
        "model": "TF-IDF words and characters + linear SVM",
        "accuracy": float((model.predict(texts) == truth).mean()),
        "seconds": time.perf_counter() - started,
    }
    if len(data.label_names) == 2:
        positive = int(np.bincount(truth).argmin())
        margins = model.decision_function(texts) * (1 if positive else -1)
        row["pr_auc"] = float(average_precision_score(truth == positive, margins))
    return row


def main() -> None:
    """Print a table for each dataset."""
    for dataset in sys.argv[1:] or DATASETS:
        rows = measure(dataset)
        print(f"\n{dataset}")
        if isinstance(rows, str):
            print(f"  left out: {rows}")
            continue
        print(f"  {'':42}" + "".join(f"{name:>10}" for name in (*METRICS, "seconds")))
        for row in rows:
            cells = [f"{row[name]:10.4f}" if name in row else f"{'-':>10}" for name in METRICS]
            seconds = f"{row['seconds']:10.1f}" if "seconds" in row else f"{'-':>10}"
            print(f"  {row['model']:42}" + "".join(cells) + seconds)


if __name__ == "__main__":
    main()
