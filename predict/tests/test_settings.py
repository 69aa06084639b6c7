"""Where settings come from, and what is said of bad ones."""

import re
from pathlib import Path

import pytest

from predict.settings import Settings, SettingsError, load_settings
from predict.tests.conftest import ROOT
from predict.wording import listed

KEYS = [name.upper() for name in Settings.model_fields]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "predict.conf"


def test_without_a_file_and_an_environment_there_are_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {}) == Settings()
    # The default file may be missing: a container has none.
    assert load_settings(Path("conf/predict.conf"), {}) == Settings()


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(conf: Path) -> None:
    conf.write_text("HOST=filehost\nPORT=1\n", encoding="utf-8")
    settings = load_settings(conf, {"PORT": "2", "PATH": "/bin", "HOST": ""})
    assert (settings.port, settings.host, settings.threads) == (2, "filehost", Settings().threads)


def test_the_real_environment_is_read(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.write_text("PORT=1\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "4321")
    assert load_settings(conf).port == 4321


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", {}),
        ("# PORT=1\n\n  # a comment\n", {}),
        ("PORT=1", {"port": 1}),
        ("PORT = 1\r\nHOST= h \r\n", {"port": 1, "host": "h"}),
        ("HOST=a=b%c$d#e", {"host": "a=b%c$d#e"}),
        ("LOG_TEXTS=true\nLOG_REQUESTS=no", {"log_texts": True, "log_requests": False}),
        ("ARTEFACT_DIR=/a b/ü", {"artefact_dir": Path("/a b/ü")}),
        ("DRAIN_TIMEOUT_S=0.5", {"drain_timeout_s": 0.5}),
    ],
)
def test_lines_of_key_and_value_are_read(
    conf: Path, content: str, expected: dict[str, object]
) -> None:
    conf.write_bytes(content.encode())
    assert load_settings(conf, {}) == Settings(**expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("PROT=1", r"predict\.conf: PROT: unknown key\. Did you mean PORT\?$"),
        ("port=1", r"predict\.conf: port: unknown key\. Did you mean PORT\?$"),
        ("WEATHER=1", rf"WEATHER: unknown key\. Known: {re.escape(listed(KEYS))}\.$"),
        ("PORT=many", r"predict\.conf: PORT: Input should be a valid integer.*, got 'many'\.$"),
        ("PORT=", r"PORT: Input should be a valid integer.*, got ''\.$"),
        ("PORT=65536", r"PORT: Input should be less than or equal to 65535, got '65536'\.$"),
        ("THREADS=0", r"THREADS: Input should be greater than or equal to 1, got '0'\.$"),
        ("DRAIN_TIMEOUT_S=nan", r"DRAIN_TIMEOUT_S: Input should be a finite number, got 'nan'\.$"),
        ("LOG_TEXTS=perhaps", r"LOG_TEXTS: Input should be a valid boolean.*, got 'perhaps'\.$"),
        ("PORT=1 # mine", r"PORT: .*, got '1 # mine'\.$"),
        ("PORT=1\n\nPORT=2", r"predict\.conf, line 3: PORT is set twice\.$"),
        ("# so\nPORT", r"predict\.conf, line 2: expected KEY=value, got 'PORT\\?n?'\.$"),
        ("=1", r"predict\.conf, line 1: expected KEY=value, got '=1\\?n?'\.$"),
        ("A\nPORT=1\nB", r"(?s)line 1: expected KEY=value, got 'A.*line 3: .*, got 'B"),
        ("[predict]\nPORT=1", r"predict\.conf, line 1: expected KEY=value, got '\[predict\]'\.$"),
        (
            "MODELS=spam",
            r"MODELS: expected NAME=PATH, … with names of .*, got 'spam'\.$",
        ),
        ("MODELS=a/b=x", r"MODELS: expected NAME=PATH, .* got 'a/b=x'"),
        ("API_KEYS= , ,", r"API_KEYS: expected at least one"),
        (
            "MODELS=tags=x\nSHADOWS=tag=y",
            r"^SHADOWS: tag is none of the models\. Did you mean tags\?$",
        ),
        ("MODELS=a=x, a=y", r"MODELS: a is there twice"),
        ("API_KEYS=a\nAPI_KEYS_FILE=b", r"^API_KEYS and API_KEYS_FILE: give one of them\.$"),
        ("ADMIN_TOKEN=a\nADMIN_TOKEN_FILE=b", r"^ADMIN_TOKEN and ADMIN_TOKEN_FILE: give one"),
        ("HOST=\xff", r"predict\.conf: not UTF-8 text \(invalid start byte\)\.$"),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_what_was_expected(
    conf: Path, content: str, message: str
) -> None:
    conf.write_bytes(content.encode("latin-1"))
    with pytest.raises(SettingsError, match=message):
        load_settings(conf, {})


@pytest.mark.parametrize(
    "content",
    [
        "HOST=127.0.0.1\n PORT=1",  # taken for a continuation: HOST becomes two lines
        "[other]\nPORT=1",  # everything below is ignored
        "HOST=",  # listens on every address there is
        "ARTEFACT_DIR=",  # the current folder
    ],
)
def test_what_nobody_means_is_refused(conf: Path, content: str) -> None:
    conf.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"predict\.conf"):
        load_settings(conf, {})


def test_all_problems_are_said_at_once_each_with_its_origin(conf: Path) -> None:
    conf.write_text("PROT=1\nTHREADS=none\nMAX_BODY_BYTES=0\nPORT=1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"unknown key") as caught:
        load_settings(conf, {"PORT": "-1"})
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        [str(conf), "PROT"],
        ["environment", "PORT"],
        [str(conf), "THREADS"],
        [str(conf), "MAX_BODY_BYTES"],
    ]


def test_a_file_that_was_named_must_be_there(conf: Path) -> None:
    with pytest.raises(SettingsError, match=r"predict\.conf: cannot be read: No such file"):
        load_settings(conf, {})
    conf.mkdir()
    with pytest.raises(SettingsError, match=r"predict\.conf: cannot be read: Is a directory"):
        load_settings(conf, {})


def test_the_shipped_file_lists_every_key_with_its_default() -> None:
    shipped = ROOT / "conf" / "predict.conf.dist"
    content = shipped.read_text(encoding="utf-8")
    assert sorted(re.findall(r"^#?(\w+)=", content, re.MULTILINE)) == sorted(KEYS)
    assert load_settings(shipped, {}) == Settings()


def test_settings_do_not_change_while_serving() -> None:
    with pytest.raises(ValueError, match="Instance is frozen"):
        Settings().port = 1


@pytest.mark.parametrize(
    ("content", "places"),
    [
        ("", {"default": "data/artefacts/latest"}),
        ("ARTEFACT_DIR=a", {"default": "a"}),
        ("ARTEFACT_DIR=a\nMODELS=spam=b/latest, tags = c", {"default": "a", "spam": "b/latest", "tags": "c"}),
        ("MODELS=spam=b,tags=c,", {"spam": "b", "tags": "c"}),
        ("ARTEFACT_DIR=a\nMODELS=default=b", {"default": "b"}),
    ],
)  # fmt: skip
def test_every_model_has_its_place(conf: Path, content: str, places: dict[str, str]) -> None:
    conf.write_text(content, encoding="utf-8")
    assert load_settings(conf, {}).places == {name: Path(path) for name, path in places.items()}


def test_secrets_are_never_shown(conf: Path) -> None:
    conf.write_text("API_KEYS=first, second\nADMIN_TOKEN=third\nPORT=x", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(conf, {})
    shown = f"{caught.value}{load_settings(conf, {'PORT': '1'})!r}"
    assert not re.search("first|second|third", shown)


# ------------------------------------------------------------------- platforms


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two places where platforms mount a model, empty ones, and a working directory without an artefact."""
    monkeypatch.chdir(tmp_path)
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
    monkeypatch.setattr("predict.settings.MOUNTED", (*places, tmp_path / "three"))
    return places


def artefact(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.json").touch()
    return folder


def test_a_mounted_model_is_found_where_nothing_else_is_said(mounts: list[Path]) -> None:
    one, two = mounts
    assert load_settings(None, {}).artefact_dir == one  # the message that nothing is there names it
    artefact(two)
    assert load_settings(None, {}).artefact_dir == two
    assert load_settings(None, {"ARTEFACT_DIR": "a"}).artefact_dir == Path("a")
    assert load_settings(None, {"MODELS": "a=b"}).places == {"a": Path("b")}
    ours = artefact(Path("data/artefacts/latest"))
    assert load_settings(None, {}).artefact_dir == ours


def test_a_mounted_folder_may_hold_the_one_artefact_or_a_link_to_it(mounts: list[Path]) -> None:
    one, _ = mounts
    inside = artefact(one / "2026-01-02-03-04-05")
    assert load_settings(None, {}).artefact_dir == inside
    artefact(one / "2026-01-02-03-04-06")
    assert load_settings(None, {}).artefact_dir == one  # two, and nothing says which
    (one / "latest").symlink_to(inside)
    assert load_settings(None, {}).artefact_dir == one / "latest"


def test_two_mounted_models_are_not_chosen_between(mounts: list[Path]) -> None:
    one, two = map(artefact, mounts)
    with pytest.raises(SettingsError, match=f"{one} and {two} are artefacts: .*ARTEFACT_DIR"):
        load_settings(None, {})


def test_vertex_ai_names_the_port_unless_port_does() -> None:
    assert load_settings(None, {"AIP_HTTP_PORT": "7080"}).port == 7080
    assert load_settings(None, {"AIP_HTTP_PORT": "7080", "PORT": "1"}).port == 1
    with pytest.raises(SettingsError, match=r"environment \(AIP_HTTP_PORT\): PORT: .*got 'x'"):
        load_settings(None, {"AIP_HTTP_PORT": "x"})


@pytest.mark.parametrize("route", ["predict", "/a b", "/<x>", "/a?b=c", "/%41", "/a\n"])
def test_a_route_of_vertex_ai_is_a_plain_path(route: str) -> None:
    with pytest.raises(SettingsError, match=r"AIP_PREDICT_ROUTE: expected a path that begins"):
        load_settings(None, {"AIP_PREDICT_ROUTE": route})
    plain = "/v1/endpoints/12/deployedModels/3:predict"
    assert load_settings(None, {"AIP_PREDICT_ROUTE": plain}).aip_predict_route == plain
