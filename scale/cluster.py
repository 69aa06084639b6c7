"""The cluster that a command of this machine joins, or is."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

# Ray's least, for what hardly anything goes through.
_OBJECT_STORE_BYTES = 80_000_000


@contextmanager
def joined_ray(
    object_store_bytes: int = _OBJECT_STORE_BYTES, num_cpus: float | None = None
) -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, or let this machine be one, until the block ends.

    Args:
        object_store_bytes: The memory for what is on its way, of this machine.
        num_cpus: The cores that it says it has; None for those there are.
    """
    if os.environ.get("RAY_ADDRESS"):
        ray.init(logging_level=logging.WARNING)
    else:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=object_store_bytes,
            num_cpus=num_cpus,
            logging_level=logging.WARNING,
        )
    try:
        yield
    finally:
        ray.shutdown()
