"""Claims about the platforms' routes, asked by the platforms' own clients."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from predict.tests.processes import connect
from tests.conformance.conftest import Serve

TEXTS = ["how do I undo a commit", "a shell script"]


def post(port: int, path: str, body: object) -> Any:
    """Ask with the standard library."""
    connection = connect(port)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, content
    return content


def example(port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an instance that a server shows, and the prediction that it expects."""
    connection = connect(port)
    connection.request("GET", "/predict/example")
    shown = json.loads(connection.getresponse().read())
    connection.close()
    [instance] = shown["instances"]
    [prediction] = shown["expected"]["predictions"]
    return instance, prediction


# -------------------------------------------------------------------- MLflow


def test_mlflow_scores_a_frame_as_we_do(serve: Serve) -> None:
    client = pytest.importorskip("mlflow.pyfunc.scoring_server.client", reason="needs mlflow")
    import pandas

    port = serve("label")
    asks = client.ScoringServerClient("127.0.0.1", port)
    asks.wait_server_ready(timeout=5)
    instance, expected = example(port)
    answer = asks.invoke(pandas.DataFrame([instance, instance]))
    assert answer["predictions"] == [expected, expected]
    assert len(answer.get_predictions()) == 2
    assert asks.get_version()


def test_mlflow_scores_lists_and_arrays_of_texts(serve: Serve) -> None:
    client = pytest.importorskip("mlflow.pyfunc.scoring_server.client", reason="needs mlflow")
    import numpy

    port = serve("text")
    asks = client.ScoringServerClient("127.0.0.1", port)
    expected = post(port, "/predict", {"texts": TEXTS})["predictions"]
    for data in (TEXTS, numpy.array(TEXTS), numpy.array(TEXTS).reshape(2, 1)):
        assert asks.invoke(data)["predictions"] == expected
    [one] = asks.invoke(TEXTS[:1], params={"top_k": 1})["predictions"]
    assert len(one["probabilities"]) == 1


def test_mlflow_reads_our_error(serve: Serve) -> None:
    client = pytest.importorskip("mlflow.pyfunc.scoring_server.client", reason="needs mlflow")
    import pandas

    with pytest.raises(Exception, match=r"error code 400.*BAD_REQUEST.*wrong_column"):
        client.ScoringServerClient("127.0.0.1", serve("text")).invoke(
            pandas.DataFrame({"wrong_column": TEXTS})
        )


# -------------------------------------------------------- tritonclient (HTTP)


@pytest.fixture
def triton(serve: Serve) -> Iterator[Any]:
    http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    clients = []

    def client(artefact: str) -> Any:
        clients.append(http.InferenceServerClient(f"127.0.0.1:{serve(artefact)}"))
        return http, clients[-1]

    yield client
    for each in clients:
        each.close()


def test_triton_finds_a_server_and_a_model_that_are_ready(triton: Any) -> None:
    _, client = triton("label")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("default")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("default")
    assert client.is_model_ready("default", metadata["versions"][0])
    assert [each["name"] for each in metadata["inputs"]] == ["age", "fare", "heads", "port", "day", "note"]  # fmt: skip


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_triton_infers_from_texts(
    triton: Any, serve: Serve, binary: bool, shape: list[int]
) -> None:
    import numpy

    http, client = triton("text")
    tensor = http.InferInput("text", shape, "BYTES")
    tensor.set_data_from_numpy(numpy.array(TEXTS, dtype=object).reshape(shape), binary_data=binary)
    wanted = [http.InferRequestedOutput(name, binary_data=binary) for name in ("score", "label")]
    expected = post(serve("text"), "/predict", {"texts": TEXTS})["predictions"]
    for outputs in (None, wanted):
        result = client.infer("default", [tensor], outputs=outputs, request_id="seven")
        assert result.get_response()["id"] == "seven"
        labels = numpy.char.decode(result.as_numpy("label").astype(bytes)).tolist()
        assert labels == [each["label"] for each in expected]
        assert result.as_numpy("score").tolist() == [each["score"] for each in expected]
    assert result.as_numpy("probabilities") is None
    probabilities = client.infer("default", [tensor]).as_numpy("probabilities")
    names = client.get_model_metadata("default")["outputs"][2]["parameters"]["labels"]
    named = dict(zip(json.loads(names), probabilities[0].tolist(), strict=True))
    assert named == expected[0]["probabilities"]


def test_triton_infers_from_columns_of_several_types(triton: Any, serve: Serve) -> None:
    import numpy

    http, client = triton("label")
    instance, expected = example(serve("label"))
    tensors = []
    for name, datatype in (
        ("age", "FP64"), ("fare", "FP64"), ("heads", "INT32"), ("port", "BYTES"), ("day", "BYTES"), ("note", "BYTES"),
    ):  # fmt: skip
        dtype = {"FP64": numpy.float64, "INT32": numpy.int32, "BYTES": object}[datatype]
        tensors.append(http.InferInput(name, [1], datatype))
        tensors[-1].set_data_from_numpy(numpy.array([instance[name]], dtype=dtype))
    result = client.infer("default", tensors)
    assert result.as_numpy("label")[0].decode() == expected["label"]
    assert result.as_numpy("score")[0] == expected["score"]


@pytest.mark.parametrize(("artefact", "name"), [("number", "value"), ("labels", "labels")])
def test_triton_reads_the_answers_of_every_kind_of_model(
    triton: Any, serve: Serve, artefact: str, name: str
) -> None:
    import numpy

    http, client = triton(artefact)
    instance, expected = example(serve(artefact))
    tensors = []
    for column in client.get_model_metadata("default")["inputs"]:
        dtype = object if column["datatype"] == "BYTES" else numpy.float64
        tensors.append(http.InferInput(column["name"], [1], column["datatype"]))
        tensors[-1].set_data_from_numpy(numpy.array([instance[column["name"]]], dtype=dtype))
    result = client.infer("default", tensors)
    if name == "value":
        assert result.as_numpy("value").tolist() == [expected["value"]]
        assert result.as_numpy("interval").tolist() == [expected["interval"]]
    else:
        parameters = client.get_model_metadata("default")["outputs"][0]["parameters"]
        labels = numpy.array(json.loads(parameters["labels"]))
        chosen = set(labels[result.as_numpy("labels")[0]])
        assert chosen == {each["label"] for each in expected["labels"]}


def test_triton_raises_our_error(triton: Any) -> None:
    import numpy

    http, client = triton("text")
    tensor = http.InferInput("body", [1], "INT64")
    tensor.set_data_from_numpy(numpy.array([1], dtype=numpy.int64))
    with pytest.raises(Exception, match=r"\[400\].*body.*unknown field"):
        client.infer("default", [tensor])
    with pytest.raises(Exception, match=r"\[404\].*no model is called"):
        client.infer("other", [tensor])


# -------------------------------------------------------------------- KServe


def kserve_client(protocol: str) -> Any:
    kserve = pytest.importorskip("kserve", reason="needs kserve")
    return kserve, kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol=protocol))


def test_kserve_asks_by_its_first_protocol(serve: Serve) -> None:
    port = serve("text")
    url = f"http://127.0.0.1:{port}"

    async def ask() -> Any:
        _, client = kserve_client("v1")
        assert await client.is_model_ready(url, "default")
        answer = await client.infer(url, {"instances": TEXTS}, model_name="default")
        with pytest.raises(Exception, match=r"expected exactly one of instances.*400"):
            await client.infer(url, {}, model_name="default")
        await client.close()
        return answer

    expected = post(port, "/predict", {"texts": TEXTS})["predictions"]
    assert asyncio.run(ask()) == {"predictions": expected}


@pytest.mark.parametrize("binary", [True, False])
def test_kserve_asks_by_its_second_protocol(serve: Serve, binary: bool) -> None:
    import numpy

    port = serve("text")
    url = f"http://127.0.0.1:{port}"

    async def ask() -> Any:
        kserve, client = kserve_client("v2")
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "default")
        assert not await client.is_model_ready(url, "other")
        tensor = kserve.InferInput("title", [2], "BYTES")
        tensor.set_data_from_numpy(numpy.array(TEXTS, dtype=object), binary_data=binary)
        request = kserve.InferRequest("default", [tensor], request_id="seven")
        answer = await client.infer(url, request, model_name="default")
        await client.close()
        return answer

    expected = post(port, "/predict", {"texts": TEXTS})["predictions"]
    answer = asyncio.run(ask())
    assert answer.id == "seven"
    assert answer.model_name == "default"
    scores = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    assert scores["score"] == [each["score"] for each in expected]
    assert [str(label) for label in scores["label"]] == [each["label"] for each in expected]


# -------------------------------------------------------------- Hugging Face


def test_hugging_face_classifies_a_text(serve: Serve) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface-hub")
    port = serve("text")
    client = hub.InferenceClient(model=f"http://127.0.0.1:{port}/", token="none")
    [expected] = post(port, "/predict", {"texts": TEXTS[:1]})["predictions"]
    # The client takes the first list of a list of lists, which is what a list is answered with.
    answer = client.text_classification([TEXTS[0]])
    assert {each.label: each.score for each in answer} == expected["probabilities"]
    assert answer[0].label == expected["label"]
    assert len(client.text_classification([TEXTS[0]], top_k=2)) == 2


def test_hugging_face_raises_our_error(serve: Serve) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface-hub")
    client = hub.InferenceClient(model=f"http://127.0.0.1:{serve('number')}/", token="none")
    with pytest.raises(Exception, match=r"Bad request:\ninputs.0: expected an object"):
        client.text_classification(["a"])
