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
    return rows


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
