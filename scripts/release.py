"""Make a release: a section in the changelog, a commit and an annotated tag, once everything has passed.

`make release VERSION=1.2.0` calls `python -m scripts.release 1.2.0 -- make lint test docs`: a version and a check.
Whatever is wrong, an interruption too, is one line and exit code 1, with nothing changed. Nothing is pushed.
"""

import re
import shlex
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

CHANGELOG = Path("CHANGELOG.md")
VERSION_FILE = Path("predict/__init__.py")
BRANCH = "main"
UNRELEASED = "## [Unreleased]"

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_ASSIGNED = re.compile(r'^__version__ = "[^"\n]*"$', re.MULTILINE)


class ReleaseError(Exception):
    """A reason why there is no release, in one line."""


def release(version: str, check: list[str], today: str) -> None:
    """Check the repository in the working directory, and commit and tag the release.

    Args:
        version: Three numbers, such as 1.2.0.
        check: A command that has to end with 0, run without a shell.
        today: The date of the release, as 2026-11-28.

    Raises:
        ReleaseError: Nothing has been changed.
    """
    changelog, source = _changed_files(version, today)
    head = _git("rev-parse", "HEAD")
    print(f"checking: {shlex.join(check)}", flush=True)
    _run_check(check)
    if _git("rev-parse", "HEAD") != head or _git("status", "--porcelain"):
        raise ReleaseError(
            "The repository changed while it was checked. Commit or stash that, then try again."
        )
    for number in _SIGNALS:  # from here on it is a moment's work
        signal.signal(number, signal.SIG_IGN)
    message = f"Capstone {version}\n\n{notes(changelog, version)}"
    try:
        CHANGELOG.write_text(changelog, encoding="utf-8")
        VERSION_FILE.write_text(source, encoding="utf-8")
        # Hooks would check once more what has just been checked.
        _git("commit", "--quiet", "--all", "--no-verify", "--message", f"Release {version}")
        _git("tag", "--annotate", "--cleanup=verbatim", "--message", message, f"v{version}")
    except BaseException:
        # The tree was clean, so nothing of anybody's is lost. The tag comes last: where it is, all is done.
        _git("reset", "--quiet", "--hard", head)
        raise


def _changed_files(version: str, today: str) -> tuple[str, str]:
    """Return the texts of changelog and version file after the release, if there may be one now."""
    numbers = _numbers(version)
    if _git("rev-parse", "--is-shallow-repository") == "true":
        raise ReleaseError(
            "This is a shallow clone, which may lack tags. Type `git fetch --unshallow --tags` first."
        )
    if (branch := _git("branch", "--show-current")) != BRANCH:
        raise ReleaseError(
            f"A release is made on the branch {BRANCH}, and this is {branch or 'no branch'}."
        )
    if changes := _git("status", "--porcelain").splitlines():
        raise ReleaseError(
            f"{_files(len(changes))} not committed, such as {changes[0][3:]}. Commit or stash that first."
        )
    tags = (name.removeprefix("v") for name in _git("tag", "--list", "v*").splitlines())
    last = max((_numbers(name) for name in tags if _VERSION.fullmatch(name)), default=None)
    if last is not None and numbers <= last:
        raise ReleaseError(
            f"{version} is not newer than the last release, {'.'.join(map(str, last))}."
        )
    changelog = CHANGELOG.read_text(encoding="utf-8")
    if changelog.count(f"\n{UNRELEASED}\n") != 1:
        raise ReleaseError(f"{CHANGELOG} needs the heading '{UNRELEASED}' once.")
    if f"\n## [{version}]" in changelog:
        raise ReleaseError(f"{CHANGELOG} has a section {version} already.")
    if not re.search(r"^- ", notes(changelog, "Unreleased"), re.MULTILINE):
        raise ReleaseError(
            f"{CHANGELOG} has no entry under '{UNRELEASED}': there is nothing to release."
        )
    source = VERSION_FILE.read_text(encoding="utf-8")
    if len(_ASSIGNED.findall(source)) != 1:
        raise ReleaseError(f'{VERSION_FILE} needs one line __version__ = "…".')
    dated = changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {today}", 1)
    return dated, _ASSIGNED.sub(f'__version__ = "{version}"', source)


def notes(changelog: str, version: str) -> str:
    """Return what a changelog says of a version, without its heading; empty if there is no such section."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        if heading.startswith(f"[{version}]"):
            return body.strip()
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    if not _VERSION.fullmatch(version):
        raise ReleaseError(
            f"A version is three numbers, such as 1.2.0; got {version!r}. Type `make release VERSION=1.2.0`."
        )
    return tuple(map(int, version.split(".")))


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"


def _run_check(command: list[str]) -> None:
    try:
        running = subprocess.Popen(command)
    except OSError as error:
        raise ReleaseError(f"The check cannot be run: {error}.") from None
    try:
        code = running.wait()
    except BaseException:
        running.terminate()
        running.wait()
        raise
    if code:
        raise ReleaseError(
            f"The check failed: {shlex.join(command)}. Mend what it names; nothing was changed."
        )


def _git(*arguments: str) -> str:
    command = ["git", "-c", "core.quotePath=false", *arguments]
    # A session of its own: Ctrl-C at the terminal ends this program, which then lets git put everything back.
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split())
        raise ReleaseError(f"git {arguments[0]} failed: {reason}")
    return done.stdout.rstrip("\n")


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _stop(number: int, _: object) -> None:
    raise ReleaseError(f"Stopped by {signal.Signals(number).name}; nothing was changed.")


def main(arguments: list[str]) -> int:
    """Run the command line, and return the exit code."""
    version, separator, *check = arguments if len(arguments) > 2 else ("", "", "")
    if separator != "--":
        print("usage: python -m scripts.release VERSION -- CHECK [ARGUMENT…]", file=sys.stderr)
        return 2
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        release(version, check, date.today().isoformat())
    except (ReleaseError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"tagged v{version}. To publish it: git push --atomic origin {BRANCH} v{version}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
