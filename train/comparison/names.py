"""Labels and categories by the names that a model knows, however a file or another artefact writes them.

An artefact from before values had one form knows the label `True`, which every file has as `true` now. And what form
a column has depends on all of its values: beside `maybe`, `True` stays `True`, but a file may lack `maybe`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from predict.contract.canonical import canonical


def namer(known: Iterable[str]) -> Callable[[str], str]:
    """Return the function that gives a value the known name that means the same; without one, it stays as it is.

    >>> list(map(namer(["True", "maybe"]), ["true", "maybe", "no"]))
    ['True', 'maybe', 'no']
    >>> namer(["1", "1.0"])("1.00")
    '1.00'
    """
    names = dict.fromkeys(known)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_meaning(name)].append(name)

    def name_of(value: str) -> str:
        if value in names:
            return value
        same = alike.get(_meaning(value), ())
        return same[0] if len(same) == 1 else value

    return name_of


def _meaning(text: str) -> str:
    return canonical(canonical(canonical(text, None), "boolean"), "whole")
