"""Claims about the completion of commands in bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("capstone-train re", {"report", "reproduce"}),
        ("capstone-train run --da", {"--dataset"}),
        ("capstone-predict ", {"text", "example", "file", "serve"}),
        ("capstone-jobs --vers", {"--version"}),
        ("capstone-scale serve --max-r", {"--max-replicas"}),
    ],
)
def test_bash_completes_commands_and_options(tmp_path: Path, typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    script = f"""
    source "{ROOT}/scripts/completion.bash"
    COMP_WORDS=("$@") COMP_CWORD={len(words) - 1}
    complete -p "$1" >/dev/null && _capstone_complete "$1" && printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"CAPSTONE_PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == offered
    assert done.stderr == ""
