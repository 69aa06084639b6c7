"""Why a model does not answer."""


class ModelError(Exception):
    """A model that does not answer as it should, though the request was a good one."""


class TimeLimitError(ModelError):
    """A run of a network that took too long, and was ended."""
