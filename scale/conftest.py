"""What is collected where there is no Ray, or its core alone: modules that import more of it cannot be."""

from importlib.util import find_spec

_core = find_spec("ray") is not None
_serve = _core and find_spec("starlette") is not None

collect_ignore = [f"{name}.py" for name in ("batch", "cluster", "search") if not _core]
collect_ignore += [f"{name}.py" for name in ("running", "serve") if not _serve]
