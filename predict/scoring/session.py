"""Networks as ONNX, opened for one thread. Only this module imports onnxruntime."""

import os
from pathlib import Path
from typing import Any

# onnxruntime reads this when it is imported; otherwise it reports its use to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

# onnxruntime has no types.
Session = Any


def open_session(file: Path) -> Session:
    """Load a network from a file.

    Raises:
        ValueError: onnxruntime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    # Small models: handing work to other threads costs more than it saves, and requests have their own.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        raise ValueError(f"onnxruntime cannot load it ({error})") from error
