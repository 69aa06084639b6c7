"""Trains a configuration of the jobs service once a week, and waits until the job has ended.

Set CAPSTONE_JOBS_URL, CAPSTONE_JOBS_KEY and CAPSTONE_CONF. What passes its gate becomes `latest`, which a running
server follows; the task fails if the run or its gate fails.
"""

import json
import os
import time
from datetime import UTC, datetime
from typing import Any
from urllib.request import Request, urlopen

from airflow.sdk import dag, task

LOOK_EVERY_S = 5.0
TIMEOUT_S = 60.0
WAITING = ("queued", "running", "cancelling")


def ask(path: str, body: object = None) -> Any:
    """Ask the jobs service: POST with a body, else GET."""
    headers = {"Authorization": f"Bearer {os.environ.get('CAPSTONE_JOBS_KEY', '')}"}
    content = None
    if body is not None:
        headers["Content-Type"], content = "application/json", json.dumps(body).encode()
    # The address is the operator's own, not a user's.
    request = Request(os.environ["CAPSTONE_JOBS_URL"] + path, content, headers)
    with urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


@dag(
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["capstone"],
)
def capstone_train() -> None:
    """Queue a job, then wait for it."""

    @task(retries=3)
    def queue() -> str:
        body = {"conf": os.environ.get("CAPSTONE_CONF", "train-conf"), "promote": True}
        return str(ask("/train", body)["id"])

    @task
    def wait(job: str) -> str:
        while (found := ask(f"/jobs/{job}"))["state"] in WAITING:
            time.sleep(LOOK_EVERY_S)
        if found["state"] != "succeeded" or found["gate"] == "failed":
            raise RuntimeError(f"job {job}: {found['state']}, gate {found['gate']}: {found['why']}")
        return str(found["artefact"])

    wait(queue())


capstone_train()
