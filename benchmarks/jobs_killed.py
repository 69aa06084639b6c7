"""Kill jobs and their server again and again, at random moments: is anything lost, or done twice?

    python -m benchmarks.jobs_killed [--kills 10] [--within 5]

Prints one line a kill, and a table; exits with 1 if a job has not exactly one whole artefact in the end, if a job ran
twice at the same time, or if anything unfinished is left.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from jobs.tests.conftest import ENDED, Service, until
from predict.scoring.predictor import Predictor
from train.config import load_config

_LOOK_EVERY_S = 0.02
_JOBS = 8
_MOST_S = 3600.0


def processes_of(folder: Path) -> Counter[str]:
    """Return how many processes each job of a service has that lead a session."""
    counts: Counter[str] = Counter()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().split(b"\0")
            # The fields after the name: state, parent, group, session.
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if b"jobs.child" in command and fields[3] == place.name and fields[0] not in "ZX":
            job = Path(os.fsdecode(command[command.index(b"jobs.child") + 1]))
            if job.parent == folder:
                counts[job.name] += 1
    return counts


class Watch(threading.Thread):
    """Looks all the time for a job that runs twice."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self.ended = threading.Event()
        self.twice: set[str] = set()

    def run(self) -> None:
        """Look until `ended`."""
        while not self.ended.wait(_LOOK_EVERY_S):
            self.twice |= {id for id, count in processes_of(self._folder).items() if count > 1}


def retry_what_was_killed(service: Service) -> None:
    """Queue again whatever has ended without success."""
    for job in service.ask("GET", "/jobs").json["jobs"]:
        if job["state"] in ("failed", "interrupted"):
            assert service.ask("POST", f"/jobs/{job['id']}/retry").status == 202


def kill(what: str, service: Service, within_s: float) -> str:
    """Kill a job or the server after a random time; return what was killed."""
    time.sleep(random.uniform(0, within_s))
    if what == "server":
        service.end(signal.SIGKILL)
        service.start()
        return "server"
    running = service.ask("GET", "/jobs?state=running").json["jobs"]
    if not running:
        return "nothing: no job ran"
    try:
        os.kill(service.process_of(running[0]["id"]), signal.SIGKILL)
    except ProcessLookupError:
        return "nothing: it had just ended"
    until(lambda: service.job(running[0]["id"])["state"] in ENDED)
    return "job"


def main() -> None:
    """Parse the command line, kill, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="of jobs, and of the server")
    parser.add_argument(
        "--within", type=float, default=5.0, help="seconds from one kill to the next, at most"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder)).start()
        watch = Watch(Path(folder).resolve() / "jobs")
        watch.start()
        try:
            ids = [service.train(conf="iris", set={"split.seed": n}) for n in range(_JOBS)]
            for number in range(2 * options.kills):
                if not service.ask("GET", "/jobs?state=queued").json["jobs"]:
                    seed = len(ids)
                    ids.append(service.train(conf="iris", set={"split.seed": seed}))
                killed = kill(("job", "server")[number % 2], service, options.within)
                states = Counter(job["state"] for job in service.ask("GET", "/jobs").json["jobs"])
                print(f"kill {number + 1}: {killed}; then {dict(states)}", flush=True)
                retry_what_was_killed(service)
            until(lambda: all(service.job(id)["state"] in ENDED for id in ids), _MOST_S)
            jobs = [service.job(id) for id in ids]
        finally:
            service.end()
            watch.ended.set()
            watch.join()
        problems = judge(jobs, service, watch)
    print(
        "\n".join(problems) or f"{len(ids)} jobs, {len(ids)} artefacts: nothing lost, nothing twice"
    )
    sys.exit(1 if problems else 0)


def judge(jobs: list[dict[str, object]], service: Service, watch: Watch) -> list[str]:
    """Return what went wrong."""
    problems = [f"job {id} ran twice at the same time" for id in watch.twice]
    problems += [
        f"job {job['id']}: {job['state']}: {job['why']}"
        for job in jobs
        if job["state"] != "succeeded"
    ]
    seeds: Counter[int] = Counter()
    for name in service.artefacts():
        place = service.folder / "artefacts" / name
        Predictor.load(place)
        seeds[load_config(place / "train-conf.yml").split.seed] += 1
    if seeds != Counter(range(len(jobs))):
        problems.append(f"artefacts by job: {dict(seeds)}, expected one of each of {len(jobs)}")
    if sorted(str(job["artefact"]) for job in jobs) != service.artefacts():
        problems.append(f"the artefacts are {service.artefacts()}")
    left = [*(service.folder / "jobs").glob("*/artefacts"), *(service.folder / "jobs").glob(".*")]
    return problems + [f"left: {path}" for path in left]


if __name__ == "__main__":
    main()
