"""Several models, each changed while the server answers: taken whole, or refused with the one before answering on."""

import gc
import json
import logging
import os
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predict.contract.artefact import MODEL, Artefact, ArtefactError
from predict.hosting import models as hosting
from predict.hosting.models import HostingError, Models, NoModelError, UnknownModelError, combined
from predict.hosting.shadow import Shadow, told
from predict.hosting.watching import following
from predict.scoring.predictor import Predictor
from predict.settings import Settings, SettingsError
from predict.tests.tiny_artefact import write_tiny_artefact
from predict.tests.waiting import wait_until


@pytest.fixture
def artefacts(tmp_path: Path, tiny_artefact: Path) -> Path:
    """A folder with two good artefacts, `old` and `new`, a damaged one, and a link `latest` to the old one."""
    folder = tmp_path / "artefacts"
    write_tiny_artefact(folder / "old", name="old")
    write_tiny_artefact(folder / "new", labels=("SVN", "BASH", "QT"), name="new")
    shutil.copytree(tiny_artefact, folder / "damaged")
    (folder / "damaged" / MODEL).write_bytes(b"no model")
    (folder / "latest").symlink_to("old")
    return folder


def point(link: Path, target: str) -> None:
    """Move a link as training does."""
    beside = link.with_name("moving")
    beside.symlink_to(target)
    os.replace(beside, link)


def answering(models: Models, name: str | None = None) -> str:
    return models.current(name).name


def test_each_name_has_its_model_and_none_is_the_default(artefacts: Path) -> None:
    models = Models({"default": artefacts / "old", "spam": artefacts / "new"})
    assert (models.names, models.default) == (["default", "spam"], "default")
    assert [answering(models, name) for name in (None, "default", "spam")] == ["old", "old", "new"]
    first = Models({"tags": artefacts / "new", "spam": artefacts / "old"})
    assert (first.default, answering(first)) == ("tags", "new")


def test_a_name_that_is_not_served_is_told_with_the_one_that_is_meant(artefacts: Path) -> None:
    models = Models({"spam": artefacts / "old"})
    for ask in (models.current, models.roll_back, lambda name: models.swap(name, artefacts)()):
        with pytest.raises(
            UnknownModelError, match=r"'spma'\. Did you mean spam\? Served: spam\.$"
        ):
            ask("spma")


def test_an_artefact_is_swapped_and_rolled_back(artefacts: Path) -> None:
    models = Models({"default": artefacts / "latest"})
    with pytest.raises(HostingError, match="no model answered before"):
        models.roll_back("default")()
    models.swap("default", artefacts / "new")()
    assert answering(models) == "new"
    # The link may point elsewhere by now: what answered before is what counts.
    point(artefacts / "latest", "damaged")
    models.roll_back("default")()
    assert answering(models) == "old"
    models.roll_back("default")()
    assert answering(models) == "new"


@pytest.mark.parametrize("where", ["damaged", "nothing", "latest"])
def test_a_bad_artefact_is_refused_with_its_reason_and_the_old_one_answers_on(
    artefacts: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    models = Models({"default": artefacts / "old"})
    point(artefacts / "latest", "damaged")
    with caplog.at_level(logging.WARNING), pytest.raises(ArtefactError) as caught:
        models.swap("default", artefacts / where)()
    assert answering(models) == "old"
    [state] = models.states()
    assert state["refused"]["reason"] == str(caught.value)
    assert f"old answers on: {caught.value}" in caplog.text
    models.swap("default", artefacts / "new")()
    assert "refused" not in models.states()[0]


def test_the_states_are_ready_for_json(artefacts: Path) -> None:
    models = Models({"default": artefacts / "old", "spam": artefacts / "new"})
    models.swap("spam", artefacts / "old")()
    [default, spam] = json.loads(json.dumps(models.states()))
    assert (default["name"], default["default"], default["artefact"]) == ("default", True, "old")
    assert (spam["name"], spam["default"], spam["previous"]) == ("spam", False, "new")


def test_a_model_that_is_replaced_is_forgotten(artefacts: Path) -> None:
    models = Models({"default": artefacts / "old"})
    old = weakref.ref(models.current().predictor)
    gc.disable()  # what nothing refers to goes at once: a server freezes its objects, and nothing collects them
    try:
        models.swap("default", artefacts / "new")()
        assert old() is None
    finally:
        gc.enable()


def test_no_answer_is_a_mixture_while_models_change(artefacts: Path) -> None:
    models = Models({"default": artefacts / "old"})
    seen: set[tuple[str, str]] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            loaded = models.current()
            loaded.predictor.predict([{"title": "svn"}])
            seen.add((loaded.name, loaded.predictor.metadata.name))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(10):
        models.swap("default", artefacts / ("new", "old")[number % 2])()
    done.set()
    for thread in threads:
        thread.join()
    assert seen == {("old", "old"), ("new", "new")}


def test_a_change_that_is_prepared_changes_nothing_yet(artefacts: Path) -> None:
    places = {"default": artefacts / "latest"}
    models = Models(places)
    point(artefacts / "latest", "new")
    for prepare in (
        lambda: models.swap("default", artefacts / "new"),
        lambda: models.follow({**places, "spam": artefacts / "new"}),
    ):
        commit = prepare()
        assert (answering(models), models.names) == ("old", ["default"])
        commit()
        assert answering(models) == "new"
        models.swap("default", artefacts / "old")()
    assert models.names == ["default", "spam"]


class TestShadow:
    """A shadow scores what is asked, in the background; what it cannot keep up with is counted and left."""

    def test_it_is_compared_with_what_answers(
        self, tables: dict[str, Path], artefacts: Path
    ) -> None:
        models = Models({"default": artefacts / "old"}, {"default": artefacts / "new"})
        loaded = models.current()
        assert loaded.shadow is not None
        asked = [{"title": text} for text in ("svn", "bash", "qt", "qt")]
        answers = loaded.predictor.predict(asked)
        for answer in answers[:3]:
            answer["label"] = answer["label"].upper()  # as the shadow's labels are written
        loaded.shadow.offer(asked, answers)
        loaded.shadow.offer([{"other": "field"}], [answers[0]])
        wait_until(lambda: shadow_of(models)["not_taken"] == 1)
        state = shadow_of(models)
        assert (state["artefact"], state["compared"], state["disagreed"]) == ("new", 4, 1)
        assert state["disagreement"] == 0.25
        assert state["ms_per_instance"] > 0
        models.shadow("default", None)()

    def test_values_are_compared_as_numbers(self, tables: dict[str, Path]) -> None:
        shadow = Shadow(Predictor.load(tables["number"]))
        shadow.start()
        example = Predictor.load(tables["number"]).example()
        [answer] = example["expected"]["predictions"]
        shadow.offer(example["instances"], [{"value": answer["value"] - 2}])
        wait_until(lambda: told([shadow.counts()])["compared"] == 1)
        assert told([shadow.counts()])["disagreed"] == 1
        assert told([shadow.counts()])["mean_difference"] == pytest.approx(2)
        shadow.stop()

    def test_what_it_cannot_keep_up_with_is_left_out(self, tables: dict[str, Path]) -> None:
        shadow = Shadow(
            Predictor.load(tables["number"])
        )  # not started, so nothing is taken from its queue
        for _ in range(100):
            shadow.offer([{}] * 3, [{}] * 3)
        assert told([shadow.counts()])["left_out"] == (100 - 64) * 3
        shadow.start()
        wait_until(lambda: told([shadow.counts()])["not_taken"] == 64 * 3)
        shadow.offer([{}] * 250, [{}] * 250)
        wait_until(lambda: told([shadow.counts()])["not_taken"] == 64 * 3 + 100)
        assert told([shadow.counts()])["left_out"] == (100 - 64) * 3 + 150
        shadow.stop()

    def test_it_stays_when_the_model_changes_and_ends_on_request(self, artefacts: Path) -> None:
        models = Models({"default": artefacts / "old"}, {"default": artefacts / "new"})
        shadow = models.current().shadow
        models.swap("default", artefacts / "new")()
        assert models.current().shadow is shadow
        models.shadow("default", artefacts / "old")()
        assert shadow_of(models)["artefact"] == "old"
        models.shadow("default", None)()
        assert models.current().shadow is None
        wait_until(lambda: "shadow" not in {thread.name for thread in threading.enumerate()})

    def test_a_bad_one_is_refused_and_the_configuration_is_followed(self, artefacts: Path) -> None:
        places = {"default": artefacts / "old"}
        models = Models(places)
        models.follow(places, {"default": artefacts / "damaged"})()
        assert models.current().shadow is None
        assert "refused" in models.states()[0]
        models.follow(places, {"default": artefacts / "new"})()
        assert shadow_of(models)["artefact"] == "new"
        models.follow(places)()
        assert models.current().shadow is None
        with pytest.raises(UnknownModelError, match="no model is called 'spam'"):
            Models(places, {"spam": artefacts / "new"})


def shadow_of(models: Models) -> dict[str, Any]:
    state: dict[str, Any] = combined([models.states()])[0]["shadow"]
    return state


class TestFollowing:
    """What the configuration names is followed; what an administrator chose stays until that changes."""

    def test_a_link_that_moves_is_followed_and_nothing_is_loaded_twice(
        self, artefacts: Path
    ) -> None:
        places = {"default": artefacts / "latest"}
        models = Models(places)
        before = models.current()
        models.follow(places)()
        assert models.current() is before
        point(artefacts / "latest", "new")
        models.follow(places)()
        assert answering(models) == "new"

    def test_a_directory_that_is_replaced_is_loaded_again(self, artefacts: Path) -> None:
        places = {"default": artefacts / "old"}
        models = Models(places)
        shutil.rmtree(artefacts / "old")
        shutil.copytree(artefacts / "new", artefacts / "old")
        models.follow(places)()
        assert answering(models) == "new"

    def test_what_is_refused_is_tried_again_when_a_file_of_it_is_written(
        self, artefacts: Path
    ) -> None:
        places = {"default": artefacts / "latest"}
        models = Models(places)
        point(artefacts / "latest", "damaged")  # such as one that is still being copied
        models.follow(places)()
        [first] = models.states()
        models.follow(places)()
        assert models.states() == [first]
        assert answering(models) == "old"
        shutil.copy(artefacts / "new" / MODEL, artefacts / "damaged" / MODEL)
        models.follow(places)()
        assert answering(models) == "2026-01-02-03-04-05"

    def test_what_is_refused_is_tried_again_on_request_and_a_choice_by_hand_is_not(
        self, artefacts: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        places = {"default": artefacts / "latest"}
        models = Models(places)
        whole = hosting.load_artefact

        def fail(path: Path) -> Artefact:
            raise ArtefactError("no memory")

        point(artefacts / "latest", "new")
        monkeypatch.setattr(hosting, "load_artefact", fail)
        models.follow(places)()
        monkeypatch.setattr(hosting, "load_artefact", whole)
        models.follow(places)()
        assert answering(models) == "old"
        models.follow(places, retry=True)()
        assert answering(models) == "new"
        models.swap("default", artefacts / "old")()
        for refused in (models.swap, models.shadow):
            with pytest.raises(ArtefactError):
                refused("default", artefacts / "damaged")
        models.follow(places, retry=True)()
        assert answering(models) == "old"

    def test_what_is_not_to_be_made_after_all_is_prepared_again(self, artefacts: Path) -> None:
        places = {"default": artefacts / "latest"}
        models = Models(places)
        point(artefacts / "latest", "new")
        change = models.follow(places)
        assert change.directories == {"default": str((artefacts / "new").resolve())}
        change.forget()
        assert answering(models) == "old"
        models.follow(places)()
        assert answering(models) == "new"
        assert models.follow(places).directories == {}

    def test_what_was_chosen_by_hand_stays_until_its_place_changes(self, artefacts: Path) -> None:
        places = {"default": artefacts / "latest"}
        models = Models(places)
        point(artefacts / "latest", "new")
        models.follow(places)()
        models.roll_back("default")()
        models.follow(places)()
        assert answering(models) == "old"

    def test_names_come_and_go(self, artefacts: Path) -> None:
        models = Models({"default": artefacts / "old"})
        models.follow({"default": artefacts / "old", "spam": artefacts / "new"})()
        assert answering(models, "spam") == "new"
        models.follow({"spam": artefacts / "new", "bad": artefacts / "damaged"})()
        assert (models.names, models.default, answering(models)) == (["spam", "bad"], "spam", "new")
        with pytest.raises(NoModelError, match=r"^bad: its artefact was refused"):
            models.current("bad")
        assert "damaged" in models.states()[1]["refused"]["reason"]
        models.follow({"bad": artefacts / "damaged"})()
        with pytest.raises(NoModelError, match=r"^bad: its artefact was refused"):
            models.current()
        models.swap("bad", artefacts / "old")()
        assert answering(models) == "old"

    def test_the_shadow_of_a_name_that_goes_ends(self, artefacts: Path) -> None:
        places = {"default": artefacts / "old", "spam": artefacts / "old"}
        models = Models(places, {"spam": artefacts / "new"})
        models.follow({"default": artefacts / "old"})()
        wait_until(lambda: "shadow" not in {thread.name for thread in threading.enumerate()})

    def test_another_process_takes_over_all_that_stands(self, artefacts: Path) -> None:
        places = {"default": artefacts / "old", "spam": artefacts / "old"}
        models = Models(places)
        models.swap("default", artefacts / "new")()
        models.shadow("default", artefacts / "old")()
        models.follow({**places, "bad": artefacts / "damaged"})()
        standing = json.loads(json.dumps(models.standing()))
        other = Models({**places, "bad": artefacts / "damaged"}, standing=standing)
        assert json.loads(json.dumps(other.standing())) == standing
        assert (answering(other), answering(other, "spam")) == ("new", "old")
        assert shadow_of(other)["artefact"] == "old"
        with pytest.raises(NoModelError):
            other.current("bad")
        other.follow({**places, "bad": artefacts / "damaged"})()
        assert answering(other) == "new"  # what was chosen by hand stays here as well
        other.roll_back("default")()
        assert answering(other) == "old"
        for each in (models, other):
            each.shadow("default", None)()

    def test_the_watcher_looks_by_itself_and_survives_a_bad_configuration(
        self, artefacts: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = Settings(artefact_dir=artefacts / "latest")
        read: list[Callable[[], Settings]] = [lambda: settings]
        models = Models(settings.places)

        failed = []

        def fail() -> Settings:
            failed.append(None)
            raise SettingsError("PORT: no")

        with following(follower(models), lambda: read[0](), every_s=0.01):
            point(artefacts / "latest", "new")
            wait_until(lambda: answering(models) == "new")
            read[0] = fail
            wait_until(lambda: len(failed) > 2)
            assert "the old one stays: PORT: no" in caplog.text
            read[0] = lambda: Settings(artefact_dir=artefacts / "old")
            wait_until(lambda: answering(models) == "old")
        assert caplog.text.count("PORT: no") == 1

    def test_a_watcher_that_does_not_look_by_itself_can_be_woken(self, artefacts: Path) -> None:
        settings = Settings(artefact_dir=artefacts / "latest")
        models = Models(settings.places)
        with following(follower(models), lambda: settings, every_s=0) as watcher:
            point(artefacts / "latest", "new")
            watcher.wake()
            wait_until(lambda: answering(models) == "new")


def follower(models: Models) -> Callable[[Settings, bool], None]:
    return lambda settings, retry: models.follow(settings.places, settings.shadows, retry)()
