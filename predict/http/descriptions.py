"""What a module says of its routes beside them, for the OpenAPI document; `predict.http.openapi` collects it.

A route without a description is in the document too, with its path, its methods and the first line of its docstring.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from predict.http.model_schemas import ModelSchemas
from predict.http.schemas import Content
from predict.settings import Settings


class Subject(NamedTuple):
    """What is described.

    Attributes:
        method: Such as `post`.
        settings: Of the server.
        model: The model that the path names, or the default one. Its schemas are general ones for a route of no model.
    """

    method: str
    settings: Settings
    model: ModelSchemas


@dataclass(frozen=True)
class Description:
    """What an operation takes and answers.

    Attributes:
        tag: The heading that it stands under.
        summary: One line of plain text; the first line of the view's docstring if it is empty.
        details: More of it, in Markdown: nothing that a stranger wrote, such as a label, may be in it.
        parameters: Parameter Objects of OpenAPI, without those of the path.
        body: What it takes; None for no body.
        answers: Status -> the content of an answer, beside problems.
        problems: Statuses of problems, beside those that every operation has.
        errors: Status -> the content of an error in another shape than a problem.
        by_model: Whether it differs from model to model, so that each has a path of its own in the document.
        may_answer_more: Whether it may answer something that is not described.
    """

    tag: str
    summary: str = ""
    details: str = ""
    parameters: Sequence[dict[str, Any]] = ()
    body: Content | None = None
    answers: Mapping[int, Content] | None = None
    problems: Sequence[int] = ()
    errors: Mapping[int, Content] | None = None
    by_model: bool = False
    may_answer_more: bool = False


Describe = Callable[[Subject], Description]
View = TypeVar("View", bound=Callable[..., Any])
_NAME = "openapi_description"


def described(what: Description | Describe) -> Callable[[View], View]:
    """Return a decorator that leaves a description with a view, or a function that makes one for each method."""

    def leave(view: View) -> View:
        setattr(view, _NAME, what)
        return view

    return leave


def description_of(view: object, subject: Subject) -> Description | None:
    """Return what was left with a view; None if nothing was."""
    what: Description | Describe | None = getattr(view, _NAME, None)
    return what(subject) if callable(what) else what
