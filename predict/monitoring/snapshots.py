"""Numbers of several processes as one: a snapshot is JSON whose numbers can be added up."""

from collections.abc import Mapping, Sequence
from typing import Any


def merged(snapshots: Sequence[Any]) -> Any:
    """Add up snapshots of the same kind, key by key and place by place; a text is that of the first.

    Args:
        snapshots: At least one. A key may be missing in some of them.

    >>> merged([{"a": 1, "b": [1, 2]}, {"a": 2, "c": "x"}])
    {'a': 3, 'b': [1, 2], 'c': 'x'}
    """
    first = snapshots[0]
    if isinstance(first, Mapping):
        keys = dict.fromkeys(key for snapshot in snapshots for key in snapshot)
        return {
            key: merged([snapshot[key] for snapshot in snapshots if key in snapshot])
            for key in keys
        }
    if isinstance(first, list):
        return [merged(values) for values in zip(*snapshots, strict=True)]
    return sum(snapshots) if isinstance(first, int | float) else first
