"""Networks that a stranger made to hurt a server."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import FunctionProto, NodeProto, TensorProto, helper, numpy_helper

from predict.contract.text_table import SUMS

# What the network of the tiny artefact reads, and puts out.
_WIDTH, _ANSWER = 4, 3
_OPSETS = [helper.make_opsetid("", 15), helper.make_opsetid("mine", 1)]


def network_of(
    nodes: Sequence[NodeProto],
    initializers: Sequence[TensorProto] = (),
    functions: Sequence[FunctionProto] = (),
) -> onnx.ModelProto:
    """Return a network from `sums` to `answer`."""
    graph = helper.make_graph(
        list(nodes),
        "hostile",
        [helper.make_tensor_value_info(SUMS, TensorProto.FLOAT, ["texts", 2, _WIDTH])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["rows", _ANSWER])],
        list(initializers),
    )
    return helper.make_model(graph, ir_version=8, opset_imports=_OPSETS, functions=list(functions))


def external(tensor: TensorProto, location: str | None, length: int) -> TensorProto:
    """Move the content of a tensor into a file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    return tensor


def with_external_weights(location: str | None) -> onnx.ModelProto:
    """Add weights to the sums that a file beside the network holds."""
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[2, _WIDTH])
    node = helper.make_node("Add", [SUMS, "weights"], ["answer"])
    return network_of([node], [external(weights, location, 32)])


def add_external_weights(good: Path, location: str) -> onnx.ModelProto:
    """Add the same weights to what a network reads that is good."""
    model = onnx.load(good)
    first = model.graph.node[0]
    first.input[0] = "added"
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[2, _WIDTH])
    model.graph.initializer.append(external(weights, location, 32))
    model.graph.node.insert(0, helper.make_node("Add", [SUMS, "weights"], ["added"]))
    return model


def many_nodes(count: int) -> onnx.ModelProto:
    """Take the cosine of the cosine, and so on."""
    return network_of(_cosines("Cos", "", count, SUMS, "answer"))


def functions_that_call_each_other(depth: int, round_about: bool = False) -> onnx.ModelProto:
    """Call a function that calls another one twice, and so on; the last one perhaps calls the first."""
    functions = []
    for number in range(depth):
        name, domain = f"twice_{number + 1}", "mine"
        if number == depth - 1:
            name, domain = ("twice_0", "mine") if round_about else ("Cos", "")
        nodes = _cosines(name, domain, 2, "given", "made")
        functions.append(
            helper.make_function("mine", f"twice_{number}", ["given"], ["made"], nodes, _OPSETS)
        )
    return network_of(_cosines("twice_0", "mine", 1, SUMS, "answer"), functions=functions)


def sparse(size: int) -> onnx.ModelProto:
    """Have one number in an array of many zeros."""
    values = numpy_helper.from_array(np.ones(1, np.float32), "zeros")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    nodes = [
        helper.make_node("ReduceSum", ["zeros"], ["one"], keepdims=0),
        helper.make_node("Add", [SUMS, "one"], ["answer"]),
    ]
    model = network_of(nodes)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [size]))
    return model


def one_large_product(size: int) -> onnx.ModelProto:
    """Multiply a square of the sum of all numbers with itself."""
    nodes = [
        helper.make_node("ReduceSum", [SUMS], ["sum"], keepdims=0),
        helper.make_node("Expand", ["sum", "shape"], ["square"]),
        helper.make_node("MatMul", ["square", "square"], ["answer"]),
    ]
    return network_of(nodes, [numpy_helper.from_array(np.array([size, size]), "shape")])


def loop(turns: int = 10**15) -> onnx.ModelProto:
    """Take cosines without end, and then the first numbers of the first sum."""
    number = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    goes_on, still = (
        helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("goes_on", "still")
    )
    before, after = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("before", "after")
    )
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["still"]),
            helper.make_node("Cos", ["before"], ["after"]),
        ],
        "body",
        [number, goes_on, before],
        [still, after],
    )
    constants = {
        "turns": np.array(turns),
        "true": np.array(True),
        "zero": np.array(0),
        "first": np.array([0]),
        "last": np.array([_ANSWER]),
        "axis": np.array([1]),
    }
    nodes = [
        helper.make_node("Loop", ["turns", "true", SUMS], ["cosines"], body=body),
        helper.make_node("Gather", ["cosines", "zero"], ["sum"], axis=1),
        helper.make_node("Slice", ["sum", "first", "last", "axis"], ["answer"]),
    ]
    return network_of(
        nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]
    )


def answer_fewer_rows(good: Path) -> onnx.ModelProto:
    """Answer the first row as a network does that is good, and no other."""
    model = onnx.load(good)
    [*_, last] = model.graph.node
    last.output[0] = "all rows"
    constants = {"from": [0], "to": [1], "rows": [0]}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in constants.items()
    )
    model.graph.node.append(helper.make_node("Slice", ["all rows", *constants], ["answer"]))
    return model


def _cosines(kind: str, domain: str, count: int, first: str, last: str) -> list[NodeProto]:
    names = [first, *(f"{first} {number}" for number in range(1, count)), last]
    return [
        helper.make_node(kind, [names[number]], [names[number + 1]], domain=domain)
        for number in range(count)
    ]
