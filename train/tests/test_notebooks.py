"""Claims about the notebooks as they stand in the repository. `make test-notebooks` runs them."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def cells(file: Path, kind: str) -> list[dict[str, Any]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def test_there_are_three() -> None:
    names = [file.stem for file in NOTEBOOKS]
    assert names == ["analyse_run", "ask_service", "explore_dataset"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_outputs_are_stripped(file: Path) -> None:
    for cell in cells(file, "code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None), (
            f"{file.name} holds outputs. Strip it: python -m nbconvert --clear-output --inplace {file}"
        )


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_begins_with_what_it_is_and_every_cell_is_python(file: Path) -> None:
    assert "".join(cells(file, "markdown")[0]["source"]).startswith("# ")
    for cell in cells(file, "code"):
        ast.parse("".join(cell["source"]))
