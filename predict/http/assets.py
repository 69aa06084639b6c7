"""Files of pages for people, and what a browser may do with them."""

from pathlib import PurePath

from flask import Response, request

from predict.http.environment import OWN_HEADERS

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def asset(name: str, body: bytes, images: str = "'self'") -> Response:
    """Answer Flask's current request with a file of a page.

    Args:
        name: Of the file; its ending is one of `TYPES`.
        body: Its content.
        images: Where its pictures come from, as a Content-Security-Policy says it.
    """
    request.environ[OWN_HEADERS] = {
        # Nothing from elsewhere and nothing inline; forms are sent by the script alone.
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src {images}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        # A browser keeps it, and asks whether it is still the same.
        "Cache-Control": "no-cache",
    }
    response = Response(body, content_type=TYPES[PurePath(name).suffix])
    response.add_etag()
    response.make_conditional(request)
    response.headers.pop("Date", None)  # the connection has one
    return response
