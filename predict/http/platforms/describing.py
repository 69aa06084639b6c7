"""What the OpenAPI document says of the platforms' routes: their own shapes are told by docs/platforms.md."""

from predict.http.descriptions import Describe, Description, Subject
from predict.http.schemas import PROBLEM, Content, Schema, a_list, an_object, content

_ERROR: Content = content({"type": "object"})
_STATUSES = (400, 401, 404, 406, 408, 413, 415, 431, 500)
# An overloaded server refuses before it looks at what is asked.
_OVERLOADED = _ERROR | content({"$ref": "#/components/schemas/Problem"}, media_type=PROBLEM)
_ANYTHING: Content = {"application/json": {}}


def probing(platform: str, summary: str) -> Description:
    """Describe a route that is only read."""
    return Description(platform, summary, answers={200: _ANYTHING}, errors=_errors())


def asking(platform: str, key: str | None, by_model: bool) -> Describe:
    """Describe a route that answers predictions.

    Args:
        platform: Whose it is.
        key: Of the list of instances in the body; None if the body is another one.
        by_model: Whether the path names a model.
    """

    def describe(subject: Subject) -> Description:
        instances: Schema = a_list(subject.model.instance, minItems=1)
        return Description(
            platform,
            "Ask about instances",
            "docs/platforms.md has every form of the body.",
            body=content({"type": "object"} if key is None else an_object({key: instances})),
            answers={200: _ANYTHING},
            errors=_errors(),
            by_model=by_model,
        )

    return describe


def _errors() -> dict[int, Content]:
    return {**dict.fromkeys(_STATUSES, _ERROR), 503: _OVERLOADED}
