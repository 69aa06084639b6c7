"""The HTTP application: `create_app(store, slots, settings)` and its routes. Nothing happens at import."""

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from flask import Flask, Response, g, jsonify, request, send_file, url_for
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import (
    Conflict,
    HTTPException,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
)

from jobs import uploads
from jobs.access import Access
from jobs.guard import UPLOADS, missing_uploads
from jobs.orders import names_of_configurations, read_order
from jobs.problems import answer_errors_with_problems
from jobs.progress import read_progress
from jobs.retention import InUseError, Retention
from jobs.settings import JobsSettings
from jobs.store import QUEUED, RUNNING, STATES, SUCCEEDED, Job, Store
from jobs.worker import PASSED_OR_NONE, Slots
from predict.contract.artefact import REPORT
from predict.web.headers import SAFE, id_of_request
from predict.wording import printable, suggestion
from train.config import ConfigError

_PAGE = Path(__file__).parent / "page"
_MOST_LISTED = 200
_LINES_SHOWN = 20
_RETRY_AFTER_S = 60
_JSON = ("application/json",)
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_SAFE = {**dict(SAFE), "Cross-Origin-Resource-Policy": "same-origin"}
_CSP_OF_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A report is a page of its own, with its scripts and styles inside. It runs as if it came from nowhere.
_CSP_OF_REPORT = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'none'"
)

log = logging.getLogger("jobs")


def create_app(store: Store, slots: Slots, retention: Retention, settings: JobsSettings) -> Flask:
    """Make the application.

    Args:
        store: The jobs.
        slots: Where they run.
        retention: What removes jobs and uploads.
        settings: Limits, folders, and what a configuration may name.

    Raises:
        SettingsError: The file of keys cannot be read.
    """
    app = Flask("jobs", static_folder=None)
    cast(DefaultJSONProvider, app.json).sort_keys = False
    access = Access(settings)

    @app.before_request
    def begin() -> None:
        g.request_id = id_of_request(request.headers.get("X-Request-ID"))
        g.started = time.perf_counter()
        if (refusal := access.refusal(request.path, request.headers)) is not None:
            raise refusal
        uploading = request.path == "/datasets"
        most = settings.max_upload_bytes if uploading else settings.max_body_bytes
        request.max_content_length = most + 1  # a body of just that many is refused by werkzeug
        if (request.content_length or 0) > most:
            raise RequestEntityTooLarge(f"body: expected at most {most:,} bytes.")

    @app.after_request
    def end(response: Response) -> Response:
        for key, value in _SAFE.items():
            response.headers.setdefault(key, value)
        response.headers["X-Request-ID"] = g.request_id
        took_ms = (time.perf_counter() - g.started) * 1000
        # As Python writes the path: a line break in it must not look like another line.
        asked = f"{request.method} {request.path!r}"
        log.info("%s %d %.1f ms %s", asked, response.status_code, took_ms, g.request_id)
        return response

    _add_page(app)
    _add_datasets(app, retention, settings)
    _add_jobs(app, store, slots, settings)
    _add_changes(app, store, slots, retention, settings)
    answer_errors_with_problems(app)
    return app


def _add_page(app: Flask) -> None:
    for path, name in (("/", "index.html"), ("/page.js", "page.js"), ("/page.css", "page.css")):

        def page(name: str = name) -> Response:
            response = send_file(_PAGE / name)
            response.headers["Content-Security-Policy"] = _CSP_OF_PAGE
            response.headers["Cache-Control"] = "no-cache"
            return response

        app.add_url_rule(path, name, page)
    app.add_url_rule("/health", "health", lambda: jsonify(status="ok"))


def _add_datasets(app: Flask, retention: Retention, settings: JobsSettings) -> None:
    @app.get("/configurations")
    def configurations() -> Response:
        return jsonify(configurations=names_of_configurations(settings))

    @app.get("/datasets")
    def datasets() -> Response:
        users = retention.users()
        found = [
            {
                **_upload(kept),
                "jobs": [job.id for job in users.get(kept.name, ())][-_MOST_LISTED:],
            }
            for kept in uploads.described(settings)
        ]
        return jsonify(datasets=found)

    @app.delete("/datasets/<name>")
    def remove(name: str) -> tuple[str, int]:
        try:
            if not retention.remove_upload(name):
                raise NotFound(f"There is no upload {name[:100]!r}; GET /datasets lists them.")
        except InUseError as error:
            raise Conflict(str(error)) from None
        return "", 204

    @app.post("/datasets")
    def upload() -> tuple[Response, int]:
        if request.mimetype.startswith("multipart/"):
            raise UnsupportedMediaType(
                "Expected the bytes of the file as the body, such as with curl --data-binary @FILE, and not a form."
            )
        if request.mimetype not in ("application/octet-stream", "text/csv"):
            raise UnsupportedMediaType("Content-Type: expected application/octet-stream.")
        kept = uploads.keep(request.args.get("name", ""), cast(BinaryIO, request.stream), settings)
        return jsonify(_upload(kept)), 201


def _upload(kept: uploads.Upload) -> dict[str, Any]:
    name = f"{UPLOADS}{kept.name}"
    return {"dataset": name, "size_bytes": kept.size_bytes, "sha256": kept.sha256}


def _add_jobs(app: Flask, store: Store, slots: Slots, settings: JobsSettings) -> None:
    @app.get("/jobs")
    def jobs() -> Response:
        state = request.args.get("state")
        if state is not None and state not in STATES:
            raise NotFound(f"state: there is no state {state[:60]!r}.{suggestion(state, STATES)}")
        return jsonify(jobs=[_summary(job, settings) for job in store.newest(_MOST_LISTED, state)])

    @app.get("/jobs/<id>")
    def job(id: str) -> Response:
        return jsonify(_described(_known(store, id), slots, settings))

    @app.get("/jobs/<id>/log")
    def job_log(id: str) -> Response:
        text = _as_named(slots.folder_of(_known(store, id)).log(), settings)
        return Response(text, content_type="text/plain; charset=utf-8")

    @app.get("/jobs/<id>/report")
    def report(id: str) -> Response:
        found = _known(store, id)
        if found.artefact is None:
            raise Conflict(f"Job {id} has no report: it is {found.state}.")
        file = settings.artefacts_dir.resolve() / found.artefact / REPORT
        if not file.is_file():
            raise NotFound(f"The artefact {found.artefact} is not there any more.")
        response = send_file(file, download_name=f"{found.artefact}.html")
        response.headers["Content-Security-Policy"] = _CSP_OF_REPORT
        return response


def _add_changes(
    app: Flask, store: Store, slots: Slots, retention: Retention, settings: JobsSettings
) -> None:
    @app.post("/train")
    def train() -> tuple[Response, int, dict[str, str]]:
        if request.mimetype not in (*_JSON, *_YAML):
            raise UnsupportedMediaType(
                "Content-Type: expected application/json or application/yaml."
            )
        body = request.get_data()
        if store.waiting() >= settings.jobs_queue:  # reading it would be for nothing
            raise _queue_is_full(settings)
        # Seconds, for a large search: nobody waits for that.
        order = read_order(body, request.mimetype in _JSON, settings)
        with retention.lock:  # what it names is not removed before it waits
            if gone := missing_uploads(order.uploads, settings):
                raise ConfigError(*gone)
            added = store.add(
                order.name, order.configuration, order.runs_code, order.promote, settings.jobs_queue
            )
        if added is None:
            raise _queue_is_full(settings)
        slots.wake()
        return _accepted(added, settings)

    @app.delete("/jobs/<id>")
    def cancel(id: str) -> tuple[Response, int, dict[str, str]]:
        cancelled = store.cancel(id)
        if cancelled is None:
            raise Conflict(f"Job {id} has ended: it is {_known(store, id).state}.")
        return _accepted(cancelled, settings)

    @app.post("/jobs/<id>/retry")
    def retry(id: str) -> tuple[Response, int, dict[str, str]]:
        with retention.lock:
            queued = store.retry(id, settings.jobs_queue)
        if queued is None:
            state = _known(store, id).state
            if state in (QUEUED, RUNNING, SUCCEEDED):
                raise Conflict(f"Job {id} cannot be retried: it is {state}.")
            raise _queue_is_full(settings)
        slots.wake()
        return _accepted(queued, settings)

    @app.post("/jobs/<id>/promote")
    def promote(id: str) -> Response:
        found = _known(store, id)
        if found.state != SUCCEEDED:
            raise Conflict(f"Job {id} cannot be promoted: it is {found.state}.")
        if found.gate not in PASSED_OR_NONE:
            raise Conflict(f"Job {id} cannot be promoted: it has failed its gate.")
        with retention.lock:
            if not (settings.artefacts_dir / str(found.artefact)).is_dir():
                raise Conflict(f"The artefact {found.artefact} is not there any more.")
            is_latest = slots.promote(found)
        if not is_latest:
            raise Conflict(
                "`latest` leads to a newer artefact, and does not go back. A server can be told to load an older one: "
                "POST /admin/models/NAME there."
            )
        return jsonify(latest=found.artefact)


def _known(store: Store, id: str) -> Job:
    if (job := store.get(id)) is None:
        raise NotFound(f"There is no job {id[:60]!r}; GET /jobs lists them.")
    return job


def _accepted(job: Job, settings: JobsSettings) -> tuple[Response, int, dict[str, str]]:
    return jsonify(_summary(job, settings)), 202, {"Location": url_for("job", id=job.id)}


def _queue_is_full(settings: JobsSettings) -> HTTPException:
    return ServiceUnavailable(
        f"{settings.jobs_queue} jobs are waiting already. Try again later.",
        retry_after=_RETRY_AFTER_S,
    )


def _summary(job: Job, settings: JobsSettings) -> dict[str, Any]:
    """Return what is told of a job in a list."""
    return {
        "id": job.id,
        "name": job.name,
        "state": "cancelling" if job.cancelling else job.state,
        "promote": job.promote,
        "attempts": job.attempts,
        "created_at": _as_time(job.created_at),
        "started_at": _as_time(job.started_at),
        "ended_at": _as_time(job.ended_at),
        "artefact": job.artefact if job.state == SUCCEEDED else None,
        "gate": job.gate,
        "metrics": job.metrics,
        "why": None if job.why is None else _as_named(job.why, settings),
    }


def _described(job: Job, slots: Slots, settings: JobsSettings) -> dict[str, Any]:
    """Return all that is told of a job."""
    folder = slots.folder_of(job)
    progress = read_progress(folder.path) if job.state == RUNNING else None
    lines = _as_named(folder.log(), settings).splitlines()[-_LINES_SHOWN:]
    problems = folder.problems() if job.why is not None else []
    return _summary(job, settings) | {
        "progress": progress,
        "problems": [_as_named(problem, settings) for problem in problems],
        "log": lines,
        "configuration": job.configuration,
    }


def _as_named(text: str, settings: JobsSettings) -> str:
    """Return what a job has said, with an upload by the name that its client knows."""
    return printable(text.replace(f"{settings.uploads_dir.resolve()}/", UPLOADS))


def _as_time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
