"""What the OpenAPI document says of the platforms' routes: their own shapes are told by docs/reference/platforms.md."""

from predict.http.descriptions import Describe, Description, Subject
from predict.http.schemas import PROBLEM, Content, content

_ERROR: Content = content({"type": "object"})
_STATUSES = (400, 401, 404, 406, 408, 413, 415, 431, 500)
# An overloaded server refuses before it looks at what is asked.
_OVERLOADED = _ERROR | content({"$ref": "#/components/schemas/Problem"}, media_type=PROBLEM)
_ANYTHING: Content = {"application/json": {}}
PLAIN: Content = {"text/plain": {}}


def probing(platform: str, summary: str, answer: Content | None = None) -> Description:
    """Describe a route that is only read; its answer is JSON if nothing else is said."""
    return Description(platform, summary, answers={200: answer or _ANYTHING}, errors=_errors())


def asking(platform: str, key: str | None, by_model: bool) -> Describe:
    """Describe a route that answers predictions.

    Args:
        platform: Whose it is.
        key: Of the list of instances in the body; None if the body is another one.
        by_model: Whether the path names a model.
    """

    def describe(subject: Subject) -> Description:
        shown = subject.model.examples
        rows = None if shown is None else shown.example["instances"]
        return Description(
            platform,
            "Ask about instances",
            "docs/reference/platforms.md has every form of the body.",
            body=content({"type": "object"}, None if key is None or rows is None else {key: rows}),
            answers={200: _ANYTHING},
            errors=_errors(),
            by_model=by_model,
        )

    return describe


def _errors() -> dict[int, Content]:
    return {**dict.fromkeys(_STATUSES, _ERROR), 503: _OVERLOADED}
