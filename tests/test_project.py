"""Claims about the repository as a whole: its documents tell the truth, and its rooms are as they should be."""

import ast
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from train.__main__ import main as train_main
from train.config import ConfigError, TrainConfig, load_config
from train.data.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
PACKAGES = ("predict", "train", "jobs")


@cache
def repository_files() -> list[Path]:
    """Return what is in the repository or about to be, relative to its root."""
    command = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def documents() -> list[str]:
    return sorted(str(file) for file in repository_files() if file.suffix == ".md")


def read(name: str | Path) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^\.PHONY: (\S+)$", read("Makefile"), re.MULTILINE))


# ----------------------------------------------------------------- documents


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"])
def test_the_documents_that_people_look_for_are_there(name: str) -> None:
    assert len(read(name)) > 100


def commands_in(text: str) -> Iterator[str]:
    """Yield what a document asks to type: lines of its code blocks, and code within its sentences."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from (line.lstrip("$ ") for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


@pytest.mark.parametrize("name", documents())
def test_every_make_command_in_a_document_names_a_real_target(name: str) -> None:
    for command in commands_in(read(name)):
        if match := re.match(r"(?:[A-Z_]+=\S+ )*make +([a-z][\w-]*)", command):
            assert match[1] in make_targets(), command


@pytest.mark.parametrize("name", documents())
def test_every_python_command_in_a_document_names_a_real_one(name: str) -> None:
    for command in commands_in(read(name)):
        for module, verb in re.findall(
            r"python3? -m (train|predict|benchmarks[.\w]*) ?([a-z]*)", command
        ):
            place = ROOT / module.replace(".", "/")
            assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), command
            if module == "train" and verb:
                assert verb in train_main.commands, command


@pytest.mark.parametrize("name", documents())
def test_every_key_that_a_document_sets_is_one_of_the_configuration(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "train-conf.yml").write_text("dataset: a")
    for command in commands_in(read(name)):
        for settings in re.findall(r'(?:SET="|--set )([^"\n]+)', command):
            for key in re.findall(r"(?:^| )([a-z_][\w.]*)=", settings):
                complaint = complaint_about(key, tmp_path / "train-conf.yml")
                assert "unknown key" not in complaint, command


def complaint_about(key: str, conf: Path) -> str:
    try:
        load_config(conf, [f"{key}="])
    except ConfigError as error:  # nothing may be none of its values, but it is a key
        return str(error)
    return ""


@pytest.mark.parametrize("name", documents())
def test_every_link_of_a_document_leads_to_a_file(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(name)):
        if not re.match(r"[a-z]+:|#", target):
            assert ((ROOT / name).parent / target.partition("#")[0]).exists(), target


# What `make` and a run produce; a reader will have them.
_MADE = re.compile(r"^(\.env|conf/(train-conf\.yml|predict\.conf)$|data/(raw|artefacts))")
_ENDINGS = r"\.(?:py|md|yml|yaml|toml|txt|in|dist|conf|html|json|onnx)|Makefile|Dockerfile\.\w+"
_IN_AN_ARTEFACT = {
    "metadata.json",
    "model.onnx",
    "features.json",
    "metrics.json",
    "train-conf.yml",
    "report.html",
    "encoder.json",
    "encoder.onnx",
    "ENCODER-LICENSE.txt",
}
# What a configuration calls a file that a client has uploaded.
_UPLOADED = "uploads/"


@pytest.mark.parametrize("name", documents())
def test_every_file_that_a_document_names_is_there(name: str) -> None:
    known = {str(file) for file in repository_files()}
    folders = {str(parent) for file in repository_files() for parent in file.parents}
    # What a tutorial makes stands in its commands.
    commands = "".join(re.findall(r"```.*?```", read(name), re.DOTALL))
    made = commands if name.startswith("docs/tutorials/") else ""
    for code in re.findall(r"`([^`\s]+)`", read(name)):
        path = code.rstrip("/").removeprefix("./")
        if not re.fullmatch(rf"[\w./-]*?(?:{_ENDINGS})|(?:\w[\w-]*/)+[\w.-]*", code):
            continue
        if (
            _MADE.match(path)
            or path in made
            or Path(path).name in _IN_AN_ARTEFACT
            or code.startswith(("/", _UPLOADED))
        ):
            continue
        beside = str(Path(name).parent / path)
        same_name = {Path(file).name for file in known} if "/" not in path else set()
        assert (
            path in known | folders | same_name
            or beside in known | folders
            or path in ("raw", "artefacts")
        ), code


def test_data_readme_lists_the_datasets_of_the_catalogue_with_their_columns() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)`(.*)$", read("data/README.md"), re.MULTILINE))
    assert set(rows) == set(CATALOGUE)
    for name, row in rows.items():
        columns = CATALOGUE[name].columns
        for column in (*(columns.text or ()), *columns.inputs, columns.label):
            assert f"`{column}`" in row, name


def test_no_file_mentions_a_place_on_somebodys_machine() -> None:
    somewhere = re.compile(r"/(?:home|Users)/[a-z]")
    for file in repository_files():
        if file.suffix in {
            ".md",
            ".py",
            ".yml",
            ".yaml",
            ".toml",
            ".txt",
            ".dist",
            ".in",
            ".html",
            "",
        }:
            for number, line in enumerate(read(file).splitlines(), start=1):
                assert not somewhere.search(line), f"{file}, line {number}: {line.strip()}"


# ---------------------------------------------------------------------- make


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("variable", "arguments"),
    [
        ("SET=training.epochs=3 split.seed=1", ["--set", "training.epochs=3", "--set", "split.seed=1"]),
        ("SET=columns.inputs.\"a.b\"=number", ["--set", 'columns.inputs."a.b"=number']),
        ("SET=where.store='010'", ["--set", "where.store='010'"]),
        ("SET=where.price=$$5", ["--set", "where.price=$5"]),
        ("SET=columns.text=[a,b]", ["--set", "columns.text=[a,b]"]),
        ("OPTIONS=--set 'where.city=New York'", ["--set", "where.city=New York"]),
        ("DATASET=it's here.csv", ["--dataset", "it's here.csv"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["train", "check"])
def test_settings_reach_the_command_as_they_were_typed(
    target: str, variable: str, arguments: list[str]
) -> None:
    command = ["make", "-C", str(ROOT), "--dry-run", "--no-print-directory", target, variable]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if "-m train " in line]
    assert shlex.split(line.lstrip("@"))[-len(arguments) :] == arguments


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_help_lists_every_target_with_what_it_does() -> None:
    done = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    )
    listed = dict(re.findall(r"^  ([a-z][\w-]*) +(\S.*)$", done.stdout, re.MULTILINE))
    assert set(listed) == make_targets()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", sorted(make_targets()))
def test_every_target_has_a_rule_and_what_it_runs_is_there(target: str) -> None:
    # The stamps of the environments are left out of it: what would be run is printed, not run.
    command = ["make", "-C", str(ROOT), "--dry-run", "--no-print-directory", target]
    environments = ("train/ready", "train/ready-to-develop", "predict/ready")
    old = [f"--old-file=.env/{stamp}" for stamp in environments]
    done = subprocess.run([*command, *old], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for script in re.findall(r"(?<![\w/])scripts/[\w-]+", done.stdout):
        assert (ROOT / script).exists(), script
    for file in re.findall(r"--file (\S+)", done.stdout):
        assert (ROOT / file).exists(), file
    for module in re.findall(r"-m (benchmarks\.\w+)", done.stdout):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists(), module


# ------------------------------------------------------------- configuration


def test_the_shipped_configuration_is_at_the_defaults_but_for_its_dataset() -> None:
    shipped = TrainConfig.model_validate(yaml.safe_load(read("conf/train-conf.yml.dist")))
    default = TrainConfig(dataset="stackoverflow")
    assert shipped == default.model_copy(update={"offline": "docstrings"})


def _keys(schema: dict[str, object], definitions: dict[str, dict[str, object]]) -> Iterator[str]:
    for key, value in schema.get("properties", {}).items():  # type: ignore[attr-defined]
        yield key
        for option in (value, *value.get("anyOf", ())):
            if "$ref" in option:
                yield from _keys(definitions[option["$ref"].rsplit("/", 1)[1]], definitions)


def test_the_shipped_configuration_mentions_every_key() -> None:
    schema = TrainConfig.model_json_schema()
    keys = list(_keys(schema, schema["$defs"]))
    assert {"wide_penalty", "sha256", "pretrained", "label", "max_ngram"} <= set(keys)
    written = read("conf/train-conf.yml.dist")
    for key in keys:
        assert re.search(rf"^(\s*|.*[#{{,] *){key}:", written, re.MULTILINE), key


@pytest.mark.parametrize("key", ["encoding", "where", "min_samples_per_label"])
def test_what_is_commented_out_in_the_shipped_configuration_is_at_its_default(key: str) -> None:
    (written,) = re.findall(rf"^# {key}: (.+)$", read("conf/train-conf.yml.dist"), re.MULTILINE)
    assert yaml.safe_load(written) == TrainConfig.model_fields[key].default


# -------------------------------------------------------------------- houses


def sources(package: str) -> list[Path]:
    """Return every module of a package, in whichever room, but not its tests."""
    files = sorted((ROOT / package).rglob("*.py"))
    return [file for file in files if "tests" not in file.relative_to(ROOT).parts]


def name_of(file: Path) -> str:
    """Return the dotted name of a module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> set[str]:
    """Return the dotted names of all that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from a.room import module` takes nothing from the room itself.
            names |= parts if all(map(is_module, parts)) else parts | {node.module}
    return names


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_nothing_under_predict_imports_train() -> None:
    files = list((ROOT / "predict").rglob("*.py"))
    assert len(files) > 5
    for file in files:
        assert "train" not in {name.partition(".")[0] for name in imports_of(file)}, file


@pytest.mark.parametrize("package", PACKAGES)
def test_the_modules_of_a_package_import_one_another_without_a_circle(package: str) -> None:
    modules = {name_of(file): file for file in sources(package)}
    left = {name: imports_of(file) & set(modules) - {name} for name, file in modules.items()}
    assert sum(map(len, left.values())) > len(modules) / 2
    while free := {name for name, needed in left.items() if not needed & set(left)}:
        left = {name: needed for name, needed in left.items() if name not in free}
    assert not left


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("tensorflow", {"train/models/text/training.py"}),
        ("keras", {f"train/models/text/{name}.py" for name in ("network", "training")}),
        ("gensim", {"train/features/embeddings.py"}),
        ("onnxruntime", {"predict/scoring/session.py", "train/onnx_export/by_skl2onnx.py"}),
        (
            "waitress",
            {
                f"predict/http/connections/{name}.py"
                for name in ("channel", "loop", "parsing", "tasks")
            }
            | {"jobs/server.py"},
        ),
        ("prometheus_client", {"predict/monitoring/metrics.py"}),
        ("yaml", {"train/config/written.py"}),
    ],
)
def test_a_library_has_one_home(library: str, homes: set[str]) -> None:
    found = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in sources(package)
        if library in {name.partition(".")[0] for name in imports_of(file)}
    }
    assert found == homes


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_happens_at_import(package: str) -> None:
    # No call stands alone at the top of a module but `main()` under `if __name__ == "__main__"`.
    allowed = {
        "written.py": {"_Dumper.add_representer"},
        "session.py": {"os.environ.setdefault"},  # onnxruntime reads it when it is imported
    }
    for file in sources(package):
        for node in ast.parse(file.read_bytes()).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                called = ast.unparse(node.value.func)
                assert called in allowed.get(file.name, set()), f"{file}: {ast.unparse(node)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_lives_in_it(package: str) -> None:
    for file in sources(package):
        assert ast.get_docstring(ast.parse(file.read_bytes())), file
