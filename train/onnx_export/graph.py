"""The parts of an ONNX graph: nodes, constants and the tables that flow between a pipeline's steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

ML_DOMAIN = "ai.onnx.ml"
# Operators that only onnxruntime has.
ONNXRUNTIME_DOMAIN = "com.microsoft"
# TreeEnsemble came with ai.onnx.ml 5, StringSplit with opset 20.
OPSETS = {"": 21, ML_DOMAIN: 5, ONNXRUNTIME_DOMAIN: 1}
_IR_VERSION = 10
_OUTPUT = "output"

Kind = Literal["number", "text"]
# An input of a node: the name of a tensor, or a constant. Numbers are doubles throughout.
Operand = str | float | npt.NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: <double>[n, width], or <string>[n, width] where it is text."""

    name: str
    width: int
    kind: Kind = "number"


@dataclass(frozen=True)
class Table:
    """What flows between two steps: tensors side by side, with the names of their columns where they have any."""

    tensors: tuple[Tensor, ...]
    names: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(tensor.width for tensor in self.tensors)


@dataclass
class Graph:
    """A graph that grows; every method that adds to it returns the name of the new tensor."""

    sample: Mapping[
        str, npt.NDArray[Any]
    ]  # some rows of each input, <float64>[n, 1] or <object>[n, 1]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    _used: int = 0

    @property
    def inputs(self) -> dict[str, Kind]:
        """Whether each input has numbers or text."""
        return {
            name: "text" if rows.dtype == object else "number" for name, rows in self.sample.items()
        }

    def name(self) -> str:
        """Return a name that nothing in the graph has yet."""
        self._used += 1
        name = f"t{self._used}"
        return self.name() if name in self.sample else name

    def constant(self, value: float | npt.NDArray[Any]) -> str:
        """Add a constant: a double, or an array of numbers or of str."""
        name, array = self.name(), np.asarray(value)
        if array.dtype.kind in "OU":
            encoded: Any = [str(text).encode() for text in array.ravel()]
            self.constants.append(
                helper.make_tensor(name, TensorProto.STRING, array.shape, encoded)
            )
        else:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: Operand, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; an input that is not a name becomes a constant."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = self.name()
        node = helper.make_node(operator, names, [output], output, domain=domain, **attributes)
        self.nodes.append(node)
        return output

    def to_double(self, tensor: str) -> str:
        """Cast to double."""
        return self.add("Cast", tensor, to=TensorProto.DOUBLE)

    def sum_rows(self, tensor: str, operator: str = "ReduceSum") -> str:
        """Sum up along the columns, [n, m] -> [n, 1]."""
        return self.add(operator, tensor, np.array([1]), keepdims=1)

    def take_columns(self, tensor: str, indices: Sequence[int] | npt.NDArray[Any]) -> str:
        """Pick columns, [n, m] -> [n, len(indices)]."""
        return self.add("Gather", tensor, np.array(indices, np.int64), axis=1)

    def side_by_side(self, tensors: Sequence[str]) -> str:
        """Put tensors of n rows each beside one another."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", *tensors, axis=1)

    def multiply(self, x: str, weights: npt.NDArray[Any], bias: Operand | None = None) -> str:
        """Return x @ weights + bias, [n, m] -> [n, k].

        Gemm, because onnxruntime merges MatMul with a division or a factor beside it, and rounds that to float32.
        """
        operands = [x, np.asarray(weights, np.float64), *([] if bias is None else [bias])]
        return self.add("Gemm", *operands)

    def sigmoid(self, x: str) -> str:
        """Return 1 / (1 + exp(-x)); onnxruntime's own Sigmoid has few right digits where it is small."""
        return self.add("Div", 1.0, self.add("Add", self.add("Exp", self.add("Neg", x)), 1.0))

    def mean(self, tensors: Sequence[str], weights: Sequence[float] | None = None) -> str:
        """Return the weighted mean of tensors of the same shape."""
        if weights is not None:
            tensors = [
                self.add("Mul", tensor, float(weight))
                for tensor, weight in zip(tensors, weights, strict=True)
            ]
        total = tensors[0] if len(tensors) == 1 else self.add("Sum", *tensors)
        return self.add("Div", total, float(len(tensors) if weights is None else sum(weights)))

    def share_of_row(self, tensor: str, of_empty: float = 0.0) -> str:
        """Divide rows by their sum; rows that sum up to 0 get `of_empty` everywhere."""
        total = self.sum_rows(tensor)
        is_empty = self.add("Equal", total, 0.0)
        shares = self.add("Div", tensor, self.add("Where", is_empty, 1.0, total))
        return self.add("Where", is_empty, of_empty, shares) if of_empty else shares

    def to_model(self, output: str) -> ModelProto:
        """Return the model that computes `output`, with only what that needs."""
        nodes, needed = _needed(self.nodes, output)
        final = _OUTPUT
        while final in self.sample:
            final += "_"
        nodes.append(helper.make_node("Identity", [output], [final], final))
        types = {"number": TensorProto.DOUBLE, "text": TensorProto.STRING}
        inputs = [
            helper.make_tensor_value_info(name, types[kind], ["n", 1])
            for name, kind in self.inputs.items()
            if name in needed
        ]
        outputs = [helper.make_tensor_value_info(final, TensorProto.DOUBLE, ["n", None])]
        constants = [constant for constant in self.constants if constant.name in needed]
        graph = helper.make_graph(nodes, "pipeline", inputs, outputs, constants)
        domains = {"", *(node.domain for node in nodes)}
        opsets = [
            helper.make_opsetid(domain, version)
            for domain, version in OPSETS.items()
            if domain in domains
        ]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="capstone"
        )


def columns(graph: Graph, table: Table, indices: Iterable[int]) -> Table:
    """Pick columns of a table by position, in this order."""
    where = [(tensor, position) for tensor in table.tensors for position in range(tensor.width)]
    groups: list[tuple[Tensor, list[int]]] = []
    chosen = list(indices)
    for index in chosen:
        tensor, position = where[index]
        if groups and groups[-1][0] == tensor:
            groups[-1][1].append(position)
        else:
            groups.append((tensor, [position]))
    names = None if table.names is None else tuple(table.names[index] for index in chosen)
    return Table(tuple(_part(graph, tensor, positions) for tensor, positions in groups), names)


def single_columns(graph: Graph, table: Table) -> list[Tensor]:
    """Take a table apart into tensors of one column each."""
    return [
        _part(graph, tensor, [position])
        for tensor in table.tensors
        for position in range(tensor.width)
    ]


def joined(graph: Graph, table: Table) -> Tensor:
    """Put a table of one kind together into one tensor.

    Raises:
        ValueError: It has both numbers and text.
    """
    kinds = {tensor.kind for tensor in table.tensors}
    if len(kinds) > 1:
        raise ValueError("it reads number and text columns at once")
    name = graph.side_by_side([tensor.name for tensor in table.tensors])
    return Tensor(name, table.width, kinds.pop())


def _part(graph: Graph, tensor: Tensor, positions: list[int]) -> Tensor:
    if positions == list(range(tensor.width)):
        return tensor
    return Tensor(graph.take_columns(tensor.name, positions), len(positions), tensor.kind)


def _needed(nodes: Sequence[NodeProto], output: str) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes that `output` needs, in their order, and the names of all that they read."""
    needed, kept = {output}, []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(_read_by(node))
    return kept[::-1], needed


def _read_by(node: NodeProto) -> set[str]:
    """Return what a node reads, its inner graphs (those of Loop, Scan, If) included."""
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return set(node.input).union(*(_read_by(child) for graph in inner for child in graph.node))
