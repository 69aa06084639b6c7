"""The canonical form of an ONNX graph, in which the same model has the same bytes: one order, one set of names."""

import onnx
from onnx import AttributeProto, ModelProto, NodeProto


def canonical(model: ModelProto) -> ModelProto:
    """Return the same model with its nodes, constants and inner names in the order in which its outputs need them.

    Exporters order constants, and choose which of several equal ones to keep, by Python's hashes of their
    addresses, which differ from process to process. What no output needs is left out. A model with graphs within
    its graph (branches and loops) is returned as it is.
    """
    graph = model.graph
    if model.functions or any(_has_graph(node) for node in graph.node):
        return model
    nodes = _needed_nodes(graph)
    constants = {constant.name: constant for constant in graph.initializer}
    used = [name for node in nodes for name in node.input if name in constants]
    used += [output.name for output in graph.output if output.name in constants]
    used = list(dict.fromkeys(used))
    fixed = {value.name for value in (*graph.input, *graph.output)}
    names = {name: name if name in fixed else f"constant_{i}" for i, name in enumerate(used)}
    made = [name for node in nodes for name in node.output if name]
    names |= {name: name if name in fixed else f"value_{i}" for i, name in enumerate(made)}

    result = ModelProto()
    result.CopyFrom(model)
    # The doc string names the TensorFlow function that it was made from, numbered like the dimensions below.
    for part in ("node", "initializer", "value_info", "doc_string"):
        result.graph.ClearField(part)
    result.graph.node.extend(_renamed(node, names) for node in nodes)
    for name in used:
        result.graph.initializer.add().CopyFrom(constants[name])
        result.graph.initializer[-1].name = names[name]
    _number_unknown_dimensions(result.graph)
    return result


def canonical_bytes(model: ModelProto) -> bytes:
    """Return the bytes of the canonical model; equal for equal models."""
    serialised: bytes = canonical(model).SerializeToString(deterministic=True)
    return serialised


def _number_unknown_dimensions(graph: onnx.GraphProto) -> None:
    """Number what tf2onnx calls `unk__82` in order of appearance: tf2onnx counts on within a process."""
    names: dict[str, str] = {}
    for value in (*graph.input, *graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param.startswith("unk__"):
                dimension.dim_param = names.setdefault(dimension.dim_param, f"unknown_{len(names)}")


def _has_graph(node: NodeProto) -> bool:
    of_graphs = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    return any(attribute.type in of_graphs for attribute in node.attribute)


def _needed_nodes(graph: onnx.GraphProto) -> list[NodeProto]:
    """Return the nodes that the outputs need, each after those that it needs itself."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    order: dict[int, None] = {}
    waiting = [output.name for output in reversed(graph.output)]
    while waiting:
        index = makers.get(waiting[-1])
        needed = [] if index is None else graph.node[index].input
        missing = [name for name in needed if name in makers and makers[name] not in order]
        if index is None or index in order or not missing:
            waiting.pop()
            if index is not None:
                order.setdefault(index)
        else:
            waiting.extend(reversed(missing))
    return [graph.node[index] for index in order]


def _renamed(node: NodeProto, names: dict[str, str]) -> NodeProto:
    result = NodeProto()
    result.CopyFrom(node)
    result.name = ""
    result.input[:] = [names.get(name, name) for name in node.input]
    result.output[:] = [names.get(name, name) for name in node.output]
    attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
    del result.attribute[:]
    result.attribute.extend(attributes)
    return result
