"""What is collected where there is no Ray: the modules that import it cannot be."""

from importlib.util import find_spec

collect_ignore = (
    []
    if find_spec("ray")
    else [f"{name}.py" for name in ("batch", "cluster", "running", "search", "serve")]
)
