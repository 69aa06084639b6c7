"""What the commands share: the default configuration file, the console, and TensorFlow's settings."""

import ctypes
import os
import sys
from pathlib import Path

from rich.console import Console

DEFAULT_CONF = Path("conf/train-conf.yml")


def console() -> Console:
    """Return a console that cuts no table short where there is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def settle_tensorflow() -> None:
    """Set the environment variables that TensorFlow reads when it is imported."""
    # Nobody needs its notes on CPU features.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN rounds differently from machine to machine, and is no faster for lookups and sums.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc to keep freed memory rather than to return it at once: an epoch takes half the time."""
    # Every step allocates and frees the same few megabytes of gradients, whose pages would be mapped anew.
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # of <malloc.h>
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # macOS and musl have none
        for option, size in (
            (mmap_threshold, 32 << 20),
            (trim_threshold, 1 << 30),
            (top_pad, 64 << 20),
        ):
            mallopt(option, size)
