"""The paths that ask whether the server is well: they need no key, and are answered before other requests."""

import re

from predict.settings import Settings

_OURS = ("/health", "/ready")
# SageMaker and MLflow; the Open Inference Protocol.
_OF_PLATFORMS = ("/ping", "/v2/health/live", "/v2/health/ready")
_MODELS = ("/v1/models/", "/v2/models/")
_OF_A_MODEL = re.compile(
    r"/v1/models/[^/:]+(/(versions|labels)/[^/:]+)?|/v2/models/[^/]+(/versions/[^/]+)?/ready"
)


class Probes:
    """Says which paths are probes."""

    def __init__(self, settings: Settings) -> None:
        paths = {*_OURS}
        if settings.platforms:
            paths |= {*_OF_PLATFORMS}
            if settings.aip_health_route is not None:
                paths.add(settings.aip_health_route)
        self._paths, self._of_models = frozenset(paths), settings.platforms

    def __contains__(self, path: str) -> bool:
        if path in self._paths:
            return True
        of_a_model = self._of_models and path.startswith(_MODELS)
        return of_a_model and _OF_A_MODEL.fullmatch(path) is not None
