"""The routes that platforms ask: what each kind of body means, and what each platform reads when it means nothing."""

import csv
import io
import json
import re
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from predict.hosting.models import Models
from predict.http.app import create_app
from predict.http.load import Load
from predict.http.platforms.tensors import read_tensor, to_bytes
from predict.http.probes import Probes
from predict.scoring.predictor import Predictor
from predict.settings import Settings, SettingsError
from predict.tests.processes import Process, connect
from predict.tests.tiny_tables import HOUSES, PASSENGER, TABLES, write_tiny_table

JSON = "application/json"
COLUMNS = list(PASSENGER)
VALUES = list(PASSENGER.values())
BYTES = {"datatype": "BYTES"}
V1, V2 = "/v1/models/default:predict", "/v2/models/default/infer"
INVOCATIONS = "/invocations"
CSV_ROW = '38,71.25,2,C,2026-04-10,"Hello, World!"'

Clients = Mapping[str, FlaskClient]


@pytest.fixture(scope="module")
def clients(
    predictor: Predictor,
    two_text_predictor: Predictor,
    passengers: Predictor,
    houses: Predictor,
    films: Predictor,
) -> Clients:
    """A client for each kind of model."""
    predictors = {
        "text": predictor,
        "texts": two_text_predictor,
        "label": passengers,
        "number": houses,
        "labels": films,
    }
    settings = Settings(
        log_requests=False,
        max_body_bytes=50_000,
        max_instances=50,
        aip_health_route="/up/and/running",
        aip_predict_route="/up/predict",
        aip_deployed_model_id="12",
    )
    return {
        kind: create_app(Models.of(each), settings).test_client()
        for kind, each in predictors.items()
    }


def post(
    client: FlaskClient, path: str, body: object, kind: str = JSON, **headers: str
) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, data=data, content_type=kind, headers=named)


def predictions(client: FlaskClient, *instances: Mapping[str, Any], **more: Any) -> Any:
    """Return what our own route answers to instances."""
    answer = post(client, "/predict", {"instances": instances, **more})
    assert answer.status_code == 200, answer.text
    return answer.json["predictions"]


def tensor(name: str, data: list[Any], datatype: str = "BYTES", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data, **more}


PASSENGER_TENSORS = [
    tensor("age", [38], "UINT8"),
    tensor("fare", [71.25], "FP32"),
    tensor("heads", [2], "INT64"),
    tensor("port", ["C"]),
    tensor("day", ["2026-04-10"]),
    tensor("note", ["Hello, World!"]),
]


# ------------------------------------------------------------ what a body means

A = "how do I undo a commit"
B = "a shell script"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (V1, {"instances": [A, B]}),
        (V1, {"instances": [{"text": A}, {"title": B}]}),
        (V1, {"instances": [[A], B]}),
        (V1, {"instances": [A, B], "parameters": {}, "signature_name": "serving_default"}),
        (V1, {"instances": [A, B], "parameters": None}),
        ("/up/predict", {"instances": [A, {"text": B}], "parameters": None}),
        (INVOCATIONS, {"instances": [A, B]}),
        (INVOCATIONS, {"inputs": [A, B]}),
        (INVOCATIONS, {"inputs": [[A], [B]]}),
        (INVOCATIONS, {"inputs": {"title": [A, B]}}),
        (INVOCATIONS, {"inputs": {"text": [[A], [B]]}}),
        (INVOCATIONS, {"dataframe_split": {"columns": ["title"], "data": [[A], [B]], "index": [0, 1]}}),
        (INVOCATIONS, {"dataframe_records": [{"title": A}, {"title": B}], "params": {}}),
        ("/score", {"data": [A, B]}),
        ("/score", {"instances": [A, B]}),
    ],
)  # fmt: skip
def test_bodies_of_two_texts_are_answered_as_our_own(
    clients: Clients, path: str, body: object
) -> None:
    answer = post(clients["text"], path, body)
    assert answer.status_code == 200, answer.text
    expected = predictions(clients["text"], {"title": A}, {"title": B})
    assert answer.json["predictions"] == expected
    assert answer.json.keys() - {"deployedModelId"} == {"predictions"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (V1, {"instances": [PASSENGER]}),
        (V1, {"instances": [VALUES]}),
        ("/up/predict", {"instances": [VALUES]}),
        (INVOCATIONS, {"inputs": {name: [value] for name, value in PASSENGER.items()}}),
        (INVOCATIONS, {"inputs": {name: [[value]] for name, value in PASSENGER.items()}}),
        (INVOCATIONS, {"inputs": PASSENGER}),
        (INVOCATIONS, {"dataframe_split": {"columns": COLUMNS, "data": [VALUES]}}),
        (INVOCATIONS, {"dataframe_split": {"columns": COLUMNS[::-1], "data": [VALUES[::-1]]}}),
        (INVOCATIONS, {"dataframe_records": [PASSENGER]}),
        ("/score", {"data": [VALUES]}),
    ],
)
def test_bodies_of_one_row_are_answered_as_our_own(
    clients: Clients, path: str, body: object
) -> None:
    answer = post(clients["label"], path, body)
    assert answer.status_code == 200, answer.text
    assert answer.json["predictions"] == predictions(clients["label"], PASSENGER)


def test_a_missing_value_is_null_wherever_it_comes_from(clients: Clients) -> None:
    client = clients["label"]
    row = PASSENGER | {"fare": None, "port": None, "day": None, "note": None}
    expected = predictions(client, row)
    cells = ",".join(["38", "", "2", "", "", ""])
    tensors = [
        tensor("age", [38.0], "FP64"),
        tensor("fare", [None], "FP64"),
        tensor("heads", [2], "INT8"),
        *(tensor(name, [""]) for name in ("port", "day", "note")),
    ]
    for path, body, kind in (
        (V1, {"instances": [row]}, JSON),
        (INVOCATIONS, {"dataframe_split": {"columns": COLUMNS, "data": [[*row.values()]]}}, JSON),
        (INVOCATIONS, f"{','.join(COLUMNS)}\n{cells}".encode(), "text/csv"),
    ):
        answer = post(client, path, body, kind)
        assert answer.json["predictions"] == expected, answer.text
    answer = post(client, V2, {"inputs": tensors})
    assert answer.json["outputs"][1]["data"] == [expected[0]["score"]]


def test_a_number_may_stand_alone_where_a_model_reads_nothing_else(tmp_path: Path) -> None:
    one = TABLES["number"].metadata | {"inputs": HOUSES.metadata["inputs"][:1]}
    table = replace(
        HOUSES, metadata=one, instances=[{"rooms": 3}], truths=[1.0], numbers={"rooms": (0.0, 1.0)}
    )
    models = Models({"default": write_tiny_table(tmp_path / "one", table)})
    client = create_app(models, Settings(log_requests=False)).test_client()
    answer = post(client, V1, {"instances": [3, {"rooms": 3}, [3]]})
    assert answer.json["predictions"] == predictions(client, *[{"rooms": 3}] * 3)


def test_top_k_lists_fewer_labels_on_every_platform_that_has_parameters(clients: Clients) -> None:
    client = clients["text"]
    expected = predictions(client, {"title": A}, top_k=1)
    for path, body in (
        (V1, {"instances": [A], "parameters": {"top_k": 1}}),
        ("/up/predict", {"instances": [A], "parameters": {"top_k": 1}}),
        (INVOCATIONS, {"inputs": [A], "params": {"top_k": 1}}),
        ("/score", {"data": [A], "params": {"top_k": 1}}),
    ):
        assert post(client, path, body).json["predictions"] == expected, path
    answer = post(client, "/", {"inputs": A, "parameters": {"top_k": 1}})
    assert answer.json == [{"label": expected[0]["label"], "score": expected[0]["score"]}]


# ---------------------------------------------------------- one platform's own


def test_vertex_ai_is_told_the_deployed_model(clients: Clients) -> None:
    answer = post(clients["text"], "/up/predict", {"instances": [A]})
    assert answer.json["deployedModelId"] == "12"
    assert clients["text"].get("/up/and/running").status_code == 200


def test_azure_gets_a_bare_list_for_input_data(clients: Clients) -> None:
    client = clients["label"]
    frame = {"columns": COLUMNS, "data": [VALUES], "index": [0]}
    for body in ({"input_data": frame}, {"input_data": [VALUES]}):
        assert post(client, "/score", body).json == predictions(client, PASSENGER)


def test_azure_limits_the_length_of_a_request_id(clients: Clients) -> None:
    ask = {"data": [A]}
    assert post(clients["text"], "/score", ask, X_Request_ID="a" * 100).status_code == 200
    refused = post(clients["text"], "/score", ask, X_Request_ID="a" * 101)
    assert (refused.status_code, refused.json) == (
        431,
        {"message": "x-request-id must not exceed 100 characters"},
    )


def test_columns_are_answered_with_columns(clients: Clients) -> None:
    [expected] = predictions(clients["label"], PASSENGER)
    columns = {name: [value] for name, value in PASSENGER.items()}
    answer = post(clients["label"], V1, {"inputs": columns}).json["outputs"]
    assert answer == {
        "label": ["yes"],
        "score": [expected["score"]],
        "classes": [["yes", "no"]],
        "scores": [list(expected["probabilities"].values())],
    }
    house = {"inputs": {"rooms": [3], "area": [80]}}
    [expected] = predictions(clients["number"], {"rooms": 3, "area": 80})
    answer = post(clients["number"], V1, house).json["outputs"]
    assert answer == {"value": [expected["value"]], "interval": [expected["interval"]]}


def test_tensorflow_serving_classifies_and_regresses(clients: Clients) -> None:
    classify, regress = (f"/v1/models/default:{verb}" for verb in ("classify", "regress"))
    shared = {name: PASSENGER[name] for name in COLUMNS[:3]}
    own = {name: [PASSENGER[name]] for name in COLUMNS[3:]}
    [expected] = predictions(clients["label"], PASSENGER)
    for body in ({"examples": [PASSENGER]}, {"examples": [own], "context": shared}):
        answer = post(clients["label"], classify, body)
        assert answer.json == {"results": [[[*pair] for pair in expected["probabilities"].items()]]}
    house = {"rooms": 3, "area": 80}
    answer = post(clients["number"], regress, {"examples": [house, house]})
    [expected] = predictions(clients["number"], house)
    assert answer.json == {"results": [expected["value"]] * 2}
    assert post(clients["number"], classify, {"examples": [house]}).status_code == 400
    assert post(clients["label"], regress, {"examples": [PASSENGER]}).status_code == 400


def test_hugging_face_answers_a_list_for_one_and_lists_for_several(clients: Clients) -> None:
    client = clients["text"]
    one, two = predictions(client, {"title": A}, {"title": B})
    pairs = [
        [{"label": label, "score": score} for label, score in each["probabilities"].items()]
        for each in (one, two)
    ]
    assert post(client, "/", {"inputs": A}).json == pairs[0]
    assert post(client, "/", {"inputs": {"text": A}, "options": {"use_cache": True}}).json == pairs[0]  # fmt: skip
    assert post(client, "/", {"inputs": [A, B]}).json == pairs
    assert post(client, "/", {"inputs": [A]}).json == pairs[:1]
    assert client.get("/classify", query_string={"sentence": A}).json == pairs[0]


def test_the_answered_label_comes_first_although_another_is_more_probable(clients: Clients) -> None:
    client = clients["label"]  # whose threshold for yes is 0.3
    row = PASSENGER | {"age": 60, "fare": 10}
    [expected] = predictions(client, row)
    assert expected["label"] == "yes"
    assert expected["score"] < 0.5
    [first, _] = post(client, "/", {"inputs": row}).json
    assert first == {"label": "yes", "score": expected["score"]}
    [only] = post(client, "/", {"inputs": row, "parameters": {"top_k": 1}}).json
    assert only == first
    answer = post(client, "/v1/models/default:classify", {"examples": [row]})
    assert answer.json["results"][0][0] == ["yes", expected["score"]]


# ------------------------------------------------------------------------- CSV


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{','.join(COLUMNS)}\n{CSV_ROW}\n", "text/csv"),
        (f"\ufeff{','.join(COLUMNS)}\r\n{CSV_ROW}\r\n", "text/csv; charset=utf-8"),
        (f'"age",fare,heads,port,day,note\n{CSV_ROW}', "text/csv; header=present"),
        (CSV_ROW, "text/csv; header=absent"),
        ('note,day,port,heads,fare,age\n"Hello, World!",2026-04-10,C,2,7.125e1, 38.0 ', "text/csv"),
    ],
)
def test_csv_is_read_with_and_without_a_header(clients: Clients, text: str, kind: str) -> None:
    answer = post(clients["label"], INVOCATIONS, text.encode(), kind)
    assert answer.status_code == 200, answer.text
    assert answer.json["predictions"] == predictions(clients["label"], PASSENGER)


HEADER = ",".join(COLUMNS)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (CSV_ROW, "text/csv", r"line 1: expected the names of the columns, age, .* header=absent"),
        (f"{HEADER}\n1,2", "text/csv", r"line 2: expected 6 cells, got 2"),
        (f'{HEADER}\n{CSV_ROW}\n1,2,3,C,,"a\nb"\n1', "text/csv", r"line 5: expected 6 cells, got 1"),
        (f"{HEADER}\n\n{CSV_ROW}", "text/csv", r"line 2: expected a row, got an empty line"),
        (f'{HEADER}\n1,2,3,C,,"a', "text/csv", r"line 2: not CSV: unexpected end of data"),
        (f'{HEADER}\n1,2,3,C,,"a"b', "text/csv", r"line 2: not CSV: ',' expected after"),
        (HEADER, "text/csv", r"line 2: expected a row below the names"),
        ("", "text/csv", r"body: expected at least one row, got none"),
        ("", "text/csv; header=absent", r"body: expected at least one row, got none"),
        (HEADER.replace("age", "Age") + f"\n{CSV_ROW}", "text/csv", r"line 1: .*got 'Age', "),
        (HEADER.replace("age", "fare") + f"\n{CSV_ROW}", "text/csv", r"line 1: expected the names"),
        (f"{HEADER},age\n{CSV_ROW},1", "text/csv", r"line 1: expected the names"),
        (f"{HEADER}\n{CSV_ROW}", "text/csv; header=yes", r"expected header=present or header=absent"),
        *(
            (f"{HEADER}\n{cell},2,3,C,,", "text/csv", r"line 2\.age: expected a (finite )?number")
            for cell in ("1;5", "NaN", "inf", "1_000", "0x1", "abc", "true", "1 2", "１", "1e999")
        ),
        (f'{HEADER}\n"1,5",2,3,C,,', "text/csv", r"line 2\.age: expected a number, got a string"),
        (f"{HEADER}\n ,2,3,C,,", "text/csv", r"line 2\.age: .* got null: it was never missing"),
    ],
)  # fmt: skip
def test_bad_csv_is_named_by_its_line(clients: Clients, text: str, kind: str, message: str) -> None:
    answer = post(clients["label"], INVOCATIONS, text.encode(), kind)
    assert answer.status_code == 400
    assert answer.json["error_code"] == "BAD_REQUEST"
    assert re.search(message, answer.json["message"]), answer.json["message"]


@hypothesis_settings(deadline=None, max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=4))
@example(["title", "a\nb", 'say "hello"', "1,5", "\ttab"])
def test_no_text_is_changed_by_csv(clients: Clients, texts: list[str]) -> None:
    rows = io.StringIO(newline="")
    csv.writer(rows).writerows([["text"], *([text] for text in texts)])
    answer = post(clients["text"], INVOCATIONS, rows.getvalue().encode(), "text/csv")
    assert answer.status_code == 200, answer.text
    expected = predictions(clients["text"], *({"title": text} for text in texts))
    assert answer.json["predictions"] == expected


def test_a_text_longer_than_pythons_limit_for_a_cell_is_read(predictor: Predictor) -> None:
    client = create_app(Models.of(predictor), Settings(log_requests=False)).test_client()
    body = b"title\n" + b"git " * 50_000
    assert post(client, INVOCATIONS, body, "text/csv").status_code == 200


# ------------------------------------------------------------------ SageMaker


@pytest.mark.parametrize("kind", ["application/jsonlines", "application/x-ndjson"])
def test_json_lines_are_an_instance_each(clients: Clients, kind: str) -> None:
    lines = "\n".join(map(json.dumps, [A, {"text": A}, [A]])).encode()
    expected = predictions(clients["text"], *[{"title": A}] * 3)
    for body in (lines, lines + b"\n"):
        answer = post(clients["text"], INVOCATIONS, body, kind)
        assert answer.json["predictions"] == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'"a"\n\n"b"', r"^line 2: expected an instance, got an empty line"),
        (b'"a"\n{"title":', r"^line 2: body: not JSON"),
        (b'"a"\n{"title": "a", "title": "b"}', r"^line 2: title: expected once"),
        (b"\xff", r"^body: not UTF-8"),
        (b"", r"at least one line"),
        (b'"a"\n3', r"^line 2\.title: expected a text, got a number"),
    ],
)
def test_bad_json_lines_are_named_by_their_line(
    clients: Clients, body: bytes, message: str
) -> None:
    answer = post(clients["text"], INVOCATIONS, body, "application/jsonlines")
    assert answer.status_code == 400
    assert re.search(message, answer.json["message"]), answer.json["message"]


def test_sagemaker_is_answered_in_the_type_that_it_accepts(clients: Clients) -> None:
    asked = {"instances": [PASSENGER, PASSENGER]}
    [expected] = predictions(clients["label"], PASSENGER)
    line = json.dumps(expected, separators=(",", ":"))
    for accept, kind, text in (
        ("text/csv", "text/csv; charset=utf-8", f"yes,{expected['score']}\n" * 2),
        ("application/jsonlines", "application/jsonlines", f"{line}\n" * 2),
        ("application/json", JSON, None),
        ("text/html, */*;q=0.5", JSON, None),
        ("text/csv;q=0.5, application/json", JSON, None),
    ):
        answer = post(clients["label"], INVOCATIONS, asked, Accept=accept)
        assert answer.content_type == kind
        assert answer.text == text or answer.json == {"predictions": [expected] * 2}
    refused = post(clients["label"], INVOCATIONS, asked, Accept="image/png")
    assert (refused.status_code, refused.json["error_code"]) == (406, "BAD_REQUEST")


def test_answers_in_csv_have_a_line_for_each_instance_of_every_kind(clients: Clients) -> None:
    house, film = {"rooms": 3, "area": 80}, TABLES["labels"].instances[0]
    accept = {"Accept": "text/csv"}
    value = predictions(clients["number"], house)[0]["value"]
    assert post(clients["number"], INVOCATIONS, {"instances": [house]}, **accept).text == f"{value}\n"  # fmt: skip
    labels = [each["label"] for each in predictions(clients["labels"], film)[0]["labels"]]
    answer = post(clients["labels"], INVOCATIONS, {"instances": [film]}, **accept).text
    [[cell]] = csv.reader(io.StringIO(answer))
    assert json.loads(cell) == labels


# --------------------------------------------------- Open Inference Protocol


def test_tensors_are_answered_with_tensors(clients: Clients) -> None:
    [expected] = predictions(clients["label"], PASSENGER)
    answer = post(clients["label"], V2, {"id": "7", "inputs": PASSENGER_TENSORS}).json
    assert answer["id"] == "7"
    assert answer["model_name"] == "default"
    label, score, probabilities = answer["outputs"]
    assert label == {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["yes"]}
    assert score == {"name": "score", "shape": [1], "datatype": "FP64", "data": [expected["score"]]}
    labels = json.loads(probabilities["parameters"]["labels"])
    assert dict(zip(labels, probabilities["data"], strict=True)) == expected["probabilities"]
    assert (labels, probabilities["shape"]) == (["no", "yes"], [1, 2])


def test_tensors_of_other_kinds_of_answers(clients: Clients) -> None:
    film = TABLES["labels"].instances[0]
    [expected] = predictions(clients["labels"], film)
    inputs = [
        tensor(name, [value], "BYTES" if isinstance(value, str) else "FP64")
        for name, value in film.items()
    ]
    chosen, _ = post(clients["labels"], V2, {"inputs": inputs}).json["outputs"]
    labels = json.loads(chosen["parameters"]["labels"])
    assert {label for label, is_one in zip(labels, chosen["data"], strict=True) if is_one} == {
        each["label"] for each in expected["labels"]
    }
    rooms = {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [3, 80, 4, 90]}
    value, interval = post(clients["number"], V2, {"inputs": [rooms]}).json["outputs"]
    both = predictions(clients["number"], {"rooms": 3, "area": 80}, {"rooms": 4, "area": 90})
    assert value["data"] == [each["value"] for each in both]
    assert (interval["shape"], interval["data"]) == ([2, 2], both[0]["interval"] + both[1]["interval"])  # fmt: skip


@pytest.mark.parametrize(
    "given_",
    [
        {"shape": [2], "data": [A, B]},
        {"shape": [2, 1], "data": [A, B]},
        {"shape": [2, 1], "data": [[A], [B]]},
        {"shape": [2], "data": [A, B], "parameters": {"content_type": "str"}},
        {"shape": [2], "data": [A, B], "name": "text"},
        {
            "shape": [2],
            "data": ["aG93IGRvIEkgdW5kbyBhIGNvbW1pdA==", "YSBzaGVsbCBzY3JpcHQ="],
            "parameters": {"content_type": "base64"},
        },
    ],
)
def test_texts_may_be_of_either_shape_flat_or_nested(
    clients: Clients, given_: dict[str, Any]
) -> None:
    body = {"inputs": [{"name": "title", "datatype": "BYTES", **given_}]}
    answer = post(clients["text"], V2, body | {"outputs": [{"name": "score"}]})
    assert answer.status_code == 200, answer.text
    [score] = answer.json["outputs"]
    expected = predictions(clients["text"], {"title": A}, {"title": B})
    assert score["data"] == [each["score"] for each in expected]


def test_a_request_without_an_id_gets_that_of_its_header(clients: Clients) -> None:
    ask = {"inputs": [tensor("title", [A])]}
    assert post(clients["text"], V2, ask, X_Request_ID="mine").json["id"] == "mine"


def test_bytes_behind_the_json_are_tensors_too(clients: Clients) -> None:
    texts = [A.encode(), "ü".encode()]
    tail = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    head = json.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {"name": "title", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(tail)}}
            ],
        }
    ).encode()  # fmt: skip
    answer = post(
        clients["text"],
        V2,
        head + tail,
        "application/octet-stream",
        Inference_Header_Content_Length=str(len(head)),
    )
    assert answer.status_code == 200, answer.text
    size = int(answer.headers["Inference-Header-Content-Length"])
    label, score, _ = json.loads(answer.data[:size])["outputs"]
    expected = predictions(clients["text"], {"title": A}, {"title": "ü"})
    start = size + label["parameters"]["binary_data_size"]
    end = start + score["parameters"]["binary_data_size"]
    scores = np.frombuffer(answer.data[start:end], "<f8").tolist()
    assert scores == [each["score"] for each in expected]


FLOATS = {"FP16": 16, "FP32": 32, "FP64": 64}


@hypothesis_settings(deadline=None)
@given(st.data())
def test_every_datatype_is_the_same_as_json_and_as_bytes(data: st.DataObject) -> None:
    whole = [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
    datatype = data.draw(st.sampled_from(["BYTES", "BOOL", *FLOATS, *whole]))
    if datatype == "BYTES":
        values = st.text(st.characters(codec="utf-8"))
    elif datatype == "BOOL":
        values = st.booleans()
    elif datatype in FLOATS:
        values = st.floats(width=FLOATS[datatype], allow_nan=False, allow_infinity=False)
    else:
        bits, signed = int(datatype.partition("INT")[2]), datatype[0] != "U"
        values = st.integers(-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)
    sent = data.draw(st.lists(values, max_size=5))
    about = {"name": "a", "shape": [len(sent)], "datatype": datatype}
    as_json = read_tensor({**about, "data": sent}, "inputs.0", None, None)
    as_bytes = read_tensor(about, "inputs.0", to_bytes(sent, datatype), None)
    assert as_json == as_bytes == ("a", (len(sent),), sent)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"data": [A]}, r"inputs\.0: expected 2 values for the shape \[2\], got 1"),
        ({"shape": [1, 2]}, r"inputs\.0\.data: it is nested|expected an object, or a list of the value"),
        ({"shape": [2, 2]}, r"inputs\.0: expected 4 values for the shape \[2, 2\], got 2"),
        ({"shape": [2, 1, 1]}, r"inputs\.0\.shape: expected \[n\] or \[n, 1\]"),
        ({"shape": [2, 1], "data": [[A, B]]}, r"inputs\.0\.data: it is nested otherwise"),
        ({"shape": [0], "data": []}, r"inputs\.0\.shape: expected at least one row"),
        ({"shape": [], "data": [A]}, r"inputs\.0\.shape: expected \[n\]"),
        ({"shape": [-1]}, r"inputs\.0\.shape: expected a list of whole numbers"),
        ({"shape": "2"}, r"inputs\.0\.shape: expected a list of whole numbers"),
        ({"shape": [True]}, r"inputs\.0\.shape: expected a list of whole numbers"),
        ({"datatype": "STRING"}, r"inputs\.0\.datatype: expected one of BYTES, BOOL.*got 'STRING'"),
        ({"datatype": ["BYTES"]}, r"inputs\.0\.datatype: .*got a list"),
        ({"datatype": "FP32"}, r"inputs\.0\.data\.0: expected numbers for FP32, got a string"),
        ({"datatype": "INT8", "data": [1, 128]}, r"data\.1: expected whole numbers from -128 to 127 .*got 128"),
        ({"datatype": "INT8", "data": [1, 2.0]}, r"data\.1: expected whole numbers .*got 2\.0"),
        ({"datatype": "INT8", "data": [1, True]}, r"data\.1: expected whole numbers .*got True"),
        ({"datatype": "BOOL", "data": [True, 1]}, r"data\.1: expected booleans for BOOL, got 1"),
        ({"datatype": "INT8", "data": [1, 2]}, r"rows\.0\.title: expected a text, got a number"),
        ({"data": A}, r"inputs\.0\.data: expected a list, got a string"),
        ({"data": None}, r"inputs\.0\.data: expected a list, got null"),
        ({"name": "body"}, r"rows\.0\.title: missing"),
        ({"name": 3}, r"inputs\.0\.name: expected a string"),
        ({"parameters": {"content_type": "image"}}, r"inputs\.0\.parameters\.content_type: expected one of str"),
        ({"parameters": {"content_type": "base64"}, "data": ["=", "="]}, r"expected texts in base64"),
        ({"parameters": {"binary_data_size": 3}}, r"Inference-Header-Content-Length"),
        ({"parameters": "a"}, r"inputs\.0\.parameters: expected an object"),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_is_named(
    clients: Clients, given_: dict[str, Any], message: str
) -> None:
    body = {"inputs": [tensor("title", [A, B]) | given_]}
    answer = post(clients["text"], V2, body)
    assert answer.status_code == 400
    assert [*answer.json] == ["error"]
    assert re.search(message, answer.json["error"]), answer.json["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, r"inputs: expected a list, got null"),
        ({"inputs": []}, r"inputs: expected at least one"),
        ({"inputs": [A]}, r"inputs\.0: expected a tensor, an object, got a string"),
        ({"inputs": [tensor("title", [A])] * 2}, r"inputs\.1\.name: 'title' is there twice"),
        ({"inputs": [tensor("title", [A]), tensor("x", [A, B])]}, r"inputs\.1\.shape: expected 1 row, .*got 2"),
        ({"inputs": [tensor("title", [A])], "outputs": [{"name": "logits"}]}, r"outputs: 'logits' is none .*label"),
        ({"inputs": [tensor("title", [A])], "outputs": ["label"]}, r"outputs\.0: expected an object"),
        (
            {"inputs": [tensor("title", [A])], "outputs": [{"name": "label", "parameters": {"classification": 1}}]},
            r"without classification",
        ),
        ({"inputs": [tensor("title", [A])], "parameters": {"top_k": 1}}, r"parameters\.top_k: a tensor has every"),
        ({"inputs": [tensor("title", [A])], "parameters": [1]}, r"parameters: expected an object"),
        ({"inputs": [tensor("title", [A])], "id": 7}, r"id: expected a string"),
        ({"inputs": [tensor("title", [A])], "model_name": "b"}, r"model_name: expected default, .*got b"),
        ({"inputs": [tensor("title", [A])], "instances": []}, r"instances: unknown key"),
        ([], r"body: expected an object, got a list"),
        (b"{", r"body: not JSON"),
        (b'{"inputs": NaN}', r"body: not JSON"),
        (b'{"id": "a", "id": "b", "inputs": []}', r"id: expected once, got 2 times"),
    ],
)  # fmt: skip
def test_a_request_of_tensors_that_means_nothing_is_a_400(
    clients: Clients, body: object, message: str
) -> None:
    answer = post(clients["text"], V2, body)
    assert answer.status_code == 400
    assert [*answer.json] == ["error"]
    assert re.search(message, answer.json["error"]), answer.json["error"]


@pytest.mark.parametrize(
    ("tail", "length", "size", "message"),
    [
        (b"\x02\0\0\0ab", None, 6, r"not JSON: trailing characters"),
        (b"\x02\0\0\0ab", "0", 6, r"body: not JSON"),
        (b"\x02\0\0\0ab", "9999", 6, r"expected at most the \d+ bytes of the body, got 9999"),
        (b"\x02\0\0\0ab", "-1", 6, r"expected at most the \d+ bytes of the body, got -1"),
        (b"\x02\0\0\0ab", "right", 7, r"binary_data_size: expected at most the 6 bytes"),
        (b"\x02\0\0\0abc", "right", 6, r"body: 1 bytes belong to no tensor"),
        (b"\x03\0\0\0ab", "right", 6, r"inputs\.0: its bytes end within a value"),
        (b"\x02\0\0", "right", 3, r"inputs\.0: its bytes end within a value"),
        (b"\x01\0\0\0\xff", "right", 5, r"inputs\.0: value 0 is not UTF-8"),
    ],
)
def test_bytes_that_are_no_tensor_are_a_400(
    clients: Clients, tail: bytes, length: str | None, size: int, message: str
) -> None:
    about = {"name": "title", "shape": [1], **BYTES, "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [about]}).encode()
    length = str(len(head)) if length == "right" else length
    headers = {} if length is None else {"Inference_Header_Content_Length": length}
    answer = post(clients["text"], V2, head + tail, **headers)
    assert answer.status_code == 400
    assert re.search(message, answer.json["error"]), answer.json["error"]


# ------------------------------------------------------------------- metadata


def test_what_metadata_says_of_tensors_is_true(clients: Clients) -> None:
    for kind in ("text", "label", "number", "labels"):
        client = clients[kind]
        shown = client.get("/v2/models/default").json
        types = {"BYTES": "a", "FP64": 1.0}
        instance = client.get("/predict/example").json["instances"][0]
        inputs = [
            tensor(each["name"], [instance[each["name"]]], each["datatype"])
            for each in shown["inputs"]
            if each["datatype"] in types
        ]
        [version] = shown["versions"]
        answer = post(client, f"/v2/models/default/versions/{version}/infer", {"inputs": inputs})
        assert answer.status_code == 200, answer.text
        outputs = {each["name"]: each for each in shown["outputs"]}
        assert [*outputs] == [each["name"] for each in answer.json["outputs"]]
        for each in answer.json["outputs"]:
            assert each["datatype"] == outputs[each["name"]]["datatype"]
            assert each["shape"][1:] == outputs[each["name"]]["shape"][1:]


def test_tensorflow_serving_is_told_a_state_and_a_signature(clients: Clients) -> None:
    client = clients["label"]
    status = client.get("/v1/models/default").json
    [state] = status["model_version_status"]
    assert (status["ready"], state["state"]) == (True, "AVAILABLE")
    version = state["version"]
    for place in (f"versions/{version}", f"labels/{version}"):
        assert client.get(f"/v1/models/default/{place}").json == status
        shown = client.get(f"/v1/models/default/{place}/metadata").json
        signature = shown["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["age"]["dtype"] == "DT_DOUBLE"
        columns = {name: [value] for name, value in PASSENGER.items()}
        answer = post(client, f"/v1/models/default/{place}:predict", {"inputs": columns})
        assert answer.json["outputs"].keys() == signature["outputs"].keys()


def test_metadata_is_hidden_where_it_is_switched_off(predictor: Predictor) -> None:
    settings = Settings(log_requests=False, show_model=False)
    client = create_app(Models.of(predictor), settings).test_client()
    for path in ("/v1/models/default/metadata", "/v2/models/default"):
        answer = client.get(path)
        assert (answer.status_code, [*answer.json]) == (404, ["error"])
    assert client.get("/v2/models/default/ready").status_code == 200


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("path", "body", "status", "content"),
    [
        (V1, {}, 400, {"error": r"expected exactly one of instances, inputs, got none"}),
        (V1, {"instances": [A], "inputs": [A]}, 400, {"error": r"got instances and inputs"}),
        (V1, {"instances": A}, 400, {"error": r"instances: expected a list, got a string"}),
        (V1, {"instances": []}, 400, {"error": r"instances: expected at least one instance"}),
        (V1, {"instances": [[A, B]]}, 400, {"error": r"instances\.0: expected an object, or a list of the value"}),
        (V1, {"instances": [None]}, 400, {"error": r"instances\.0\.title: expected a text, got null"}),
        (V1, {"instances": [""]}, 400, {"error": r"instances\.0\.title: empty text"}),
        (V1, {"instances": [{"text": A, "title": B}]}, 400, {"error": r"instances\.0\.text: unknown field"}),
        (V1, {"instances": [A], "signature_name": "b"}, 400, {"error": r"signature_name: 'b' is not found"}),
        (V1, {"instances": [A], "parameters": {"top_k": 0}}, 400, {"error": r"parameters\.top_k: expected a whole"}),
        (V1, {"instances": [A], "parameters": {"topk": 1}}, 400, {"error": r"parameters\.topk: unknown parameter"}),
        (V1, {"instances": [A], "parameters": [1]}, 400, {"error": r"parameters: expected an object"}),
        (V1, {"inputs": {"title": [A], "x": []}}, 400, {"error": r"inputs\.x: expected at least one"}),
        (V1, {"inputs": {"title": [A], "x": [1, 2]}}, 400, {"error": r"inputs: expected columns of one length"}),
        (V1, {"inputs": {"title": [A], "x": 1}}, 400, {"error": r"inputs\.x: expected a list, got a number"}),
        (V1.replace("default", "other"), {"instances": [A]}, 404, {"error": r"no model is called 'other'"}),
        (V1.replace(":", "/versions/1:"), {"instances": [A]}, 404, {"error": r"The version '1' is not served"}),
        (V2.replace("default", "other"), {"inputs": [tensor("title", [A])]}, 404, {"error": r"no model is called"}),
        ("/v1/models/default:explain", {"instances": [A]}, 405, {"error": r"not allowed"}),
        ("/v1/models/default:classify", {"instances": [A]}, 400, {"error": r"instances: unknown key"}),
        ("/v1/models/default:classify", {}, 400, {"error": r"expected the key examples"}),
        ("/v1/models/default:classify", {"examples": [A]}, 400, {"error": r"examples\.0: expected an object"}),
        (
            "/v1/models/default:classify",
            {"examples": [{"title": A}], "context": {"title": B}},
            400,
            {"error": r"examples\.0\.title: it is in the context too"},
        ),
        ("/up/predict", {"instance": [A]}, 400, {"error": r"instance: unknown key"}),
        ("/up/predict", {}, 400, {"error": r"instances: expected a list, got null"}),
        (
            INVOCATIONS,
            {"inputs": [A], "instances": [A]},
            400,
            {"error_code": "BAD_REQUEST", "message": r"got inputs and instances"},
        ),
        (INVOCATIONS, {}, 400, {"error_code": "BAD_REQUEST", "message": r"got none of them"}),
        (INVOCATIONS, {"inputs": [A], "x": 1}, 400, {"error_code": "BAD_REQUEST", "message": r"x: unknown key"}),
        (INVOCATIONS, [A], 400, {"error_code": "BAD_REQUEST", "message": r"expected an object, got a list"}),
        (INVOCATIONS, b"{", 400, {"error_code": "BAD_REQUEST", "message": r"not JSON"}),
        *(
            (INVOCATIONS, {"dataframe_split": frame}, 400, {"error_code": "BAD_REQUEST", "message": message})
            for frame, message in (
                ([], r"dataframe_split: expected an object with columns and data"),
                ({"data": [[A]]}, r"dataframe_split: expected an object with columns and data"),
                ({"columns": ["title"], "data": [[A]], "x": 1}, r"dataframe_split: expected an object"),
                ({"columns": "title", "data": [[A]]}, r"columns: expected a list of names"),
                ({"columns": [0], "data": [[A]]}, r"columns: expected a list of names"),
                ({"columns": ["a", "a"], "data": [[A, B]]}, r"columns: a is there twice"),
                ({"columns": ["title"], "data": [[A], [A, B]]}, r"data\.1: expected 1 value, one a column, got 2"),
                ({"columns": ["title"], "data": [A]}, r"data\.0: expected 1 value, one a column, got a string"),
                ({"columns": ["title"], "data": []}, r"data: expected at least one"),
                ({"columns": ["x"], "data": [[A]]}, r"dataframe_split\.0\.title: missing"),
            )
        ),
        ("/", {"input": A}, 400, {"error": r"input: unknown key"}),
        ("/", {}, 400, {"error": r"expected the key inputs"}),
        ("/", {"inputs": []}, 400, {"error": r"inputs: expected at least one"}),
        ("/", {"inputs": 3}, 400, {"error": r"inputs\.title: expected a text, got a number"}),
        ("/", {"inputs": A, "parameters": {"function_to_apply": "none"}}, 400, {"error": r"unknown parameter"}),
        ("/score", {}, 400, {"message": r"expected exactly one of input_data, data, instances"}),
        ("/score", {"data": A}, 400, {"message": r"data: expected a list"}),
    ],
)  # fmt: skip
def test_a_bad_body_has_the_error_of_its_platform(
    clients: Clients, path: str, body: object, status: int, content: dict[str, str]
) -> None:
    answer = post(clients["text"], path, body)
    assert (answer.status_code, answer.content_type) == (status, JSON), answer.text
    assert answer.json.keys() == content.keys()
    for key, expected in content.items():
        assert re.search(expected, answer.json[key]), answer.json


@pytest.mark.parametrize(
    ("method", "path", "status", "key"),
    [
        ("GET", V2, 405, "error"),
        ("PUT", "/v1/models/default", 405, "error"),
        ("GET", "/v1/models/other", 404, "error"),
        ("GET", "/v2/models/other/ready", 404, "error"),
        ("GET", "/v2/models/default/versions/3/ready", 404, "error"),
        ("GET", "/v2/nothing", 404, "error"),
        ("GET", INVOCATIONS, 405, "error_code"),
        ("GET", "/score", 405, "message"),
        ("GET", "/classify", 400, "error"),
        ("GET", "/classify?sentence=a&sentence=b", 400, "error"),
        ("GET", "/classify?sentence=a&top=b", 400, "error"),
        ("GET", "/classify?sentence=", 400, "error"),
        ("GET", "/nothing", 404, "detail"),
    ],
)
def test_a_bad_address_has_the_error_of_its_platform(
    clients: Clients, method: str, path: str, status: int, key: str
) -> None:
    answer = clients["text"].open(path, method=method)
    assert (answer.status_code, key in answer.json) == (status, True), answer.text


@pytest.mark.parametrize("path", [V1, V2, INVOCATIONS, "/", "/score", "/up/predict"])
def test_limits_count_for_every_platform(clients: Clients, path: str) -> None:
    bodies = {
        V2: {"inputs": [tensor("title", [A] * 51)]},
        "/": {"inputs": [A] * 51},
        "/score": {"data": [A] * 51},
    }
    answer = post(clients["text"], path, bodies.get(path, {"instances": [A] * 51}))
    assert answer.status_code == 413
    assert "expected at most 50, got 51" in answer.text
    answer = post(clients["text"], path, b" " * 50_001)
    assert answer.status_code == 413
    assert "type" not in answer.json


def test_a_type_that_is_not_read_is_a_415(clients: Clients) -> None:
    for kind in ("image/png", "text/csv; charset=latin-1", ""):
        answer = post(clients["text"], INVOCATIONS, b"a", kind)
        assert (answer.status_code, answer.json["error_code"]) == (415, "BAD_REQUEST")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_other_platforms_do_not_heed_the_type_as_their_servers_do_not(
    clients: Clients, kind: str
) -> None:
    for path, body in (
        (V1, {"instances": [A]}),
        (V2, {"inputs": [tensor("title", [A])]}),
        ("/", {"inputs": A}),
        ("/score", {"data": [A]}),
    ):
        assert post(clients["text"], path, body, kind).status_code == 200, path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-be"])
def test_json_in_other_characters_is_read_as_by_our_own_routes(
    clients: Clients, encoding: str
) -> None:
    body = json.dumps({"instances": ["ü"]}, ensure_ascii=False).encode(encoding)
    assert post(clients["text"], V1, body).status_code == 200


# ------------------------------------------------------------------ readiness

READY = ["/ping", "/v2/health/ready", "/v1/models/default", "/v2/models/default/ready"]


def overloaded(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "overloaded_for_s", lambda: 6.0)


def draining(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    load.draining = True


@pytest.mark.parametrize("busy", [overloaded, draining])
def test_no_platform_takes_a_server_for_ready_that_is_not(
    predictor: Predictor,
    busy: Callable[[Load, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = Load()
    settings = Settings(log_requests=False, aip_health_route="/up")
    client = create_app(Models.of(predictor), settings, load=load).test_client()
    for path in [*READY, "/up"]:
        assert client.get(path).status_code == 200
    busy(load, monkeypatch)
    for path in [*READY, "/up"]:
        answer = client.get(path)
        assert answer.status_code == 503
        assert answer.json.keys() in ({"error"}, {"error_code", "message"}), path
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/ping").json["error_code"] == "TEMPORARILY_UNAVAILABLE"


def test_a_model_that_is_missing_is_not_ready(tiny_artefact: Path, tmp_path: Path) -> None:
    models = Models({"default": tiny_artefact})
    models.follow({"default": tiny_artefact, "bad": tmp_path})()
    client = create_app(models, Settings(log_requests=False)).test_client()
    assert client.get("/v1/models").json == {"models": ["default", "bad"]}
    for answer in (
        client.get("/v1/models/bad"),
        client.get("/v2/models/bad/ready"),
        post(client, "/v1/models/bad:predict", {"instances": [A]}),
        post(client, "/v2/models/bad/infer", {"inputs": [tensor("title", [A])]}),
    ):
        assert (answer.status_code, [*answer.json]) == (503, ["error"])
        assert "its artefact was refused" in answer.json["error"]


def test_probes_need_no_key_and_predictions_do(predictor: Predictor) -> None:
    settings = Settings(log_requests=False, api_keys=["secret"], aip_health_route="/up")
    client = create_app(Models.of(predictor), settings).test_client()
    for path in [*READY, "/up", "/v2/health/live"]:
        assert client.get(path).status_code == 200, path
    for path, body, key in (
        (V1, {"instances": [A]}, "error"),
        (V2, {"inputs": [tensor("title", [A])]}, "error"),
        (INVOCATIONS, {"inputs": [A]}, "error_code"),
        ("/", {"inputs": A}, "error"),
        ("/score", {"data": [A]}, "message"),
    ):
        answer = post(client, path, body)
        assert (answer.status_code, key in answer.json) == (401, True), path
        assert "WWW-Authenticate" in answer.headers
        assert post(client, path, body, X_API_Key="secret").status_code == 200
    assert client.get("/v2/models/default").status_code == 401


def test_a_path_that_is_a_probe_needs_a_key_for_what_is_sent_to_it(predictor: Predictor) -> None:
    settings = Settings(log_requests=False, api_keys=["secret"], aip_health_route="/")
    client = create_app(Models.of(predictor), settings).test_client()
    assert client.get("/").status_code == 200
    assert post(client, "/", {"inputs": A}).status_code == 401


@pytest.mark.parametrize(
    ("path", "is_probe"),
    [
        *((path, True) for path in ("/health", "/ready", "/up", *READY)),
        ("/v1/models/a/versions/1", True),
        ("/v1/models/a/labels/b", True),
        ("/v2/models/a/versions/1/ready", True),
        ("/v1/models/a:predict", False),
        ("/v1/models/a/versions/1:predict", False),
        ("/v1/models/a/metadata", False),
        ("/v1/models", False),
        ("/v2/models/a", False),
        ("/v2/models/a/infer", False),
        ("/predict", False),
        ("/", False),
    ],
)
def test_what_is_a_probe(path: str, is_probe: bool) -> None:
    assert (path in Probes(Settings(aip_health_route="/up"))) == is_probe
    ours = path in ("/health", "/ready")
    assert (path in Probes(Settings(aip_health_route="/up", platforms=False))) == (is_probe and ours)  # fmt: skip


# ------------------------------------------------------------------- settings


def test_platforms_can_be_switched_off(predictor: Predictor) -> None:
    settings = Settings(log_requests=False, platforms=False, aip_predict_route="/up")
    client = create_app(Models.of(predictor), settings).test_client()
    for path in (*READY, "/classify?sentence=a", "/v2", "/version"):
        assert client.get(path).json["status"] == 404
    for path in (V1, V2, INVOCATIONS, "/score", "/up"):
        assert post(client, path, {"instances": [A]}).json["status"] == 404
    assert post(client, "/", {"inputs": A}).status_code in (404, 405)


def test_a_route_that_vertex_ai_chooses_may_be_there_already(predictor: Predictor) -> None:
    settings = Settings(log_requests=False, aip_predict_route=V1, aip_health_route="/health")
    client = create_app(Models.of(predictor), settings).test_client()
    assert post(client, V1, {"instances": [A]}).status_code == 200
    assert client.get("/health").status_code == 200
    settings = Settings(log_requests=False, aip_predict_route="/predict")
    client = create_app(Models.of(predictor), settings).test_client()
    assert post(client, "/predict", {"instances": [{"title": A}]}).status_code == 200
    # It is ours, and so is its error.
    assert post(client, "/predict", {}).json["status"] == 422


def test_a_probe_of_vertex_ai_cannot_open_a_route_that_needs_a_key(predictor: Predictor) -> None:
    settings = Settings(api_keys=["a"], aip_health_route="/predict")
    with pytest.raises(SettingsError, match=r"AIP_HEALTH_ROUTE: /predict is something else here"):
        create_app(Models.of(predictor), settings)


def test_requests_are_counted_by_the_rule_of_their_route(predictor: Predictor) -> None:
    client = create_app(Models.of(predictor), Settings(log_requests=False)).test_client()
    for path in (V1, "/v1/models/default/versions/3:predict"):
        post(client, path, {"instances": [A]})
    counted = client.get("/metrics").text
    assert re.search(r'route="/v1/models/<model>:predict"[^\n]*status="200"', counted) or re.search(
        r'status="200"[^\n]*route="/v1/models/<model>:predict"', counted
    )
    assert 'route="/v1/models/<model>/versions/<version>:predict"' in counted


# ------------------------------------------------------------ a whole process


def test_a_container_on_vertex_ai_listens_and_answers_where_its_environment_says(
    start: Callable[..., Process], tiny_artefact: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start(
        *("-m", "predict", "serve"),
        ARTEFACT_DIR=tiny_artefact,
        AIP_HTTP_PORT=port,
        AIP_HEALTH_ROUTE="/v1/endpoints/1/deployedModels/2",
        AIP_PREDICT_ROUTE="/v1/endpoints/1/deployedModels/2:predict",
        DRAIN_GRACE_S=2,
    )
    assert server.port() == port
    route = "/v1/endpoints/1/deployedModels/2"
    assert ask(port, "GET", route)[0] == 200
    status, answer = ask(port, "POST", f"{route}:predict", json.dumps({"instances": [A]}))
    assert (status, [*answer]) == (200, ["predictions"])
    server.send(signal.SIGTERM)
    while (answer := ask(port, "GET", route))[0] == 200:
        pass
    assert answer == (503, {"error": "The server is stopping."})
    assert ask(port, "GET", "/v2/health/ready")[0] == 503
    assert server.exit_code() == 0


def test_what_is_refused_before_it_is_read_has_the_error_of_its_platform_too(
    start: Callable[..., Process], tiny_artefact: Path
) -> None:
    port = start("-m", "predict", "serve", ARTEFACT_DIR=tiny_artefact, PORT=0).port()
    for path, key in (
        (V1, "error"),
        (V2, "error"),
        (INVOCATIONS, "message"),
        ("/predict", "detail"),
    ):
        status, answer = ask(port, "POST", path, " " * 2_000_000)
        assert status == 413
        assert answer[key] == "body: expected at most 1000000 bytes."


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
    connection = connect(port)
    connection.request(method, path, body, {"Content-Type": JSON})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text.strip() else None
