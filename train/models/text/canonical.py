"""One order and one set of names for an ONNX graph, so that the same model has the same bytes."""

import onnx
from onnx import AttributeProto, ModelProto, NodeProto


def canonical(model: ModelProto) -> ModelProto:
    """Return the same model with its nodes, constants and inner names in the order in which its outputs need them.

    Exporters order constants, and choose which of several equal ones to keep, by Python's hashes of their
    addresses, which are others in every process. What is not needed for an output is left out. A model with
    graphs within its graph (branches and loops) is returned as it is.
    """
    graph = model.graph
    if model.functions or any(_has_graph(node) for node in graph.node):
        return model
    nodes = _needed_nodes(graph)
    constants = {constant.name: constant for constant in graph.initializer}
    used = [name for node in nodes for name in node.input if name in constants]
    used += [output.name for output in graph.output if output.name in constants]
    kept = list(dict.fromkeys(used))
    fixed = {value.name for value in (*graph.input, *graph.output)}
    names = {name: name if name in fixed else f"constant_{i}" for i, name in enumerate(kept)}
    made = [name for node in nodes for name in node.output if name]
    names |= {name: name if name in fixed else f"value_{i}" for i, name in enumerate(made)}

    result = ModelProto()
    result.CopyFrom(model)
    # The text says from which function of TensorFlow it was made, numbered like the dimensions below.
    for part in ("node", "initializer", "value_info", "doc_string"):
        result.graph.ClearField(part)
    result.graph.node.extend(_renamed(node, names) for node in nodes)
    for name in kept:
        result.graph.initializer.add().CopyFrom(constants[name])
        result.graph.initializer[-1].name = names[name]
    _number_unknown_dimensions(result.graph)
    return result


def canonical_bytes(model: ModelProto) -> bytes:
    """Return the bytes of the canonical model; equal for equal models."""
    serialised: bytes = canonical(model).SerializeToString(deterministic=True)
    return serialised


def _number_unknown_dimensions(graph: onnx.GraphProto) -> None:
    """Call what tf2onnx calls `unk__82` by the order in which it comes: its numbers count on in a process."""
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
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    order: dict[int, None] = {}
    waiting = [output.name for output in reversed(graph.output)]
    while waiting:
        place = makers.get(waiting[-1])
        needed = [] if place is None else graph.node[place].input
        missing = [name for name in needed if name in makers and makers[name] not in order]
        if place is None or place in order or not missing:
            waiting.pop()
            if place is not None:
                order.setdefault(place)
        else:
            waiting.extend(reversed(missing))
    return [graph.node[place] for place in order]


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
