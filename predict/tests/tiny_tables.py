"""Writes tiny real artefacts of table models, one for each kind of answer, whose sums can be done by hand.

`golden/format-2` holds what `python -m predict.tests.tiny_tables predict/tests/golden/format-2` wrote when format
2 was new. It is committed and never written again, as `tiny_artefact` says.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from predict.contract.artefact import MODEL, Derived, Input
from predict.scoring.inputs import TableInputs
from predict.tests.tiny_artefact import write_rest


@dataclass(frozen=True)
class Table:
    """A model that adds up what its columns are worth, and what stands around it.

    Attributes:
        numbers: Column -> (what a missing one counts as, its weight); None: missing makes the sum NaN.
        strings: Column -> value -> worth; any other value is worth nothing.
        factors: One for each of the model's outputs: (sum * factor) goes through `activation`.
        dtype: Of the model's output.
    """

    metadata: Mapping[str, Any]
    instances: Sequence[Mapping[str, Any]]
    truths: Sequence[Any]
    numbers: Mapping[str, tuple[float | None, float]]
    strings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    factors: Sequence[float] = (1.0,)
    activation: str | None = None
    dtype: int = TensorProto.DOUBLE


PASSENGER = {
    "age": 38,
    "fare": 71.25,
    "heads": 2,
    "port": "C",
    "day": "2026-04-10",
    "note": "Hello, World!",
}
PASSENGERS = Table(
    metadata={
        "task": "classification",
        "inputs": [
            {"name": "age", "type": "number", "minimum": 0, "maximum": 80.5},
            {"name": "fare", "type": "number", "nullable": True, "minimum": 0, "maximum": 500},
            {"name": "heads", "type": "number", "minimum": 0, "maximum": 9},
            {
                "name": "port",
                "type": "category",
                "nullable": True,
                "categories": ["C", "Q", "S", "3"],
            },
            {"name": "day", "type": "date", "nullable": True},
            {"name": "note", "type": "text", "nullable": True, "missing_share": 0.25},
        ],
        "derived": [
            {"name": "fare_per_head", "kind": "ratio", "of": ["fare", "heads"]},
            {"name": "age_group", "kind": "bins", "of": ["age"], "edges": [18, 60.5]},
            {"name": "port_and_group", "kind": "cross", "of": ["port", "age_group"]},
            {"name": "month", "kind": "date_part", "of": ["day"], "part": "month"},
        ],
        "outputs": [
            {
                "name": "survived",
                "type": "label",
                "labels": ["no", "yes"],
                "thresholds": {"yes": 0.3},
            }
        ],
    },
    instances=[
        PASSENGER,
        PASSENGER | {"age": 2, "port": 3},
        PASSENGER | {"fare": None, "port": None, "day": None, "note": None},
        PASSENGER | {"age": 79.5, "heads": 0, "port": "S", "day": "2026-12-31T23:59", "note": ""},
    ],
    truths=["yes", "yes", "no", None],
    numbers={
        "age": (None, -0.01),
        "fare": (14.5, 0.002),
        "fare_per_head": (0.0, 0.01),
        "month": (6.0, 0.02),
    },
    strings={
        "port": {"C": 0.3, "S": -0.2, "": -0.6, "3": 0.05},
        "age_group": {"(-inf, 18)": 0.7, "[18, 60.5)": -0.4, "[60.5, inf)": -0.9},
        "port_and_group": {"C|[18, 60.5)": 0.11, "|[18, 60.5)": -0.13},
        "note": {"hello world": 0.25, "": -0.05},
    },
    factors=(0.0, 1.0),
    activation="Softmax",
    dtype=TensorProto.FLOAT,
)

# `area` may be null, but the model cannot take that; `rooms` of 1e200 are too many for it.
HOUSES = Table(
    metadata={
        "task": "regression",
        "inputs": [
            {"name": "rooms", "type": "number", "minimum": 1, "maximum": 12},
            {"name": "area", "type": "number", "nullable": True},
        ],
        "outputs": [
            {
                "name": "price",
                "type": "number",
                "interval": {"coverage": 0.9, "half_width": 12.5},
            }
        ],
    },
    instances=[{"rooms": 3, "area": 90.5}, {"rooms": 1, "area": 20}],
    truths=[310.0, 80.25],
    numbers={"rooms": (None, 1e110), "area": (None, 3e110)},
    factors=(1e-110,),
)

FILMS = Table(
    metadata={
        "task": "multilabel",
        "inputs": [
            {"name": "minutes", "type": "number"},
            {"name": "studio", "type": "category", "categories": ["A", "B"]},
        ],
        "outputs": [
            {
                "name": "genres",
                "type": "labels",
                "labels": ["drama", "comedy", "war"],
                "thresholds": {"drama": 0.5, "comedy": 0.9, "war": 0.2},
            }
        ],
    },
    instances=[{"minutes": 90, "studio": "A"}, {"minutes": 0, "studio": "B"}],
    truths=[["drama", "war"], []],
    numbers={"minutes": (None, 0.02)},
    strings={"studio": {"A": 1.0, "B": -5.0}},
    factors=(1.0, 0.5, -0.25),
    activation="Sigmoid",
)

TABLES = {"label": PASSENGERS, "number": HOUSES, "labels": FILMS}


def write_tiny_table(directory: Path, table: Table, **more_metadata: Any) -> Path:
    """Write a table's artefact; `more_metadata` replaces or adds keys of `metadata.json`."""
    import onnxruntime

    directory.mkdir(parents=True, exist_ok=True)
    onnx.save(build_model(table), directory / MODEL)
    session = onnxruntime.InferenceSession(
        str(directory / MODEL), providers=["CPUExecutionProvider"]
    )
    answers = session.run(None, _feeds(session, table))[0].tolist()
    examples = [
        {"instance": dict(instance), "answer": [round(value, 8) for value in answer]}
        | ({} if truth is None else {"truth": truth})
        for instance, answer, truth in zip(table.instances, answers, table.truths, strict=True)
    ]
    write_rest(directory, {**table.metadata, "examples": examples, **more_metadata})
    return directory


def build_model(table: Table) -> onnx.ModelProto:
    """Make the graph: one input a column, and the output `answer`."""
    nodes, constants, worths = [], {"factors": np.array([table.factors])}, []
    for name, (missing, weight) in table.numbers.items():
        constants[f"{name} weight"] = np.array([weight])
        known = name
        if missing is not None:
            constants[f"{name} missing"] = np.array([missing])
            nodes += [
                helper.make_node("IsNaN", [name], [f"{name} is missing"]),
                helper.make_node(
                    "Where", [f"{name} is missing", f"{name} missing", name], [f"{name} filled"]
                ),
            ]
            known = f"{name} filled"
        nodes.append(helper.make_node("Mul", [known, f"{name} weight"], [f"{name} worth"]))
        worths.append(f"{name} worth")
    for name, values in table.strings.items():
        nodes += [
            helper.make_node(
                "LabelEncoder",
                [name],
                [f"{name} float"],
                domain="ai.onnx.ml",
                keys_strings=list(values),
                values_floats=list(values.values()),
                default_float=0.0,
            ),
            helper.make_node("Cast", [f"{name} float"], [f"{name} worth"], to=TensorProto.DOUBLE),
        ]
        worths.append(f"{name} worth")
    nodes += [
        helper.make_node("Sum", worths, ["sum"]),
        helper.make_node("Mul", ["sum", "factors"], ["logits"]),
        helper.make_node(table.activation or "Identity", ["logits"], ["doubles"]),
        helper.make_node("Cast", ["doubles"], ["answer"], to=table.dtype),
    ]
    doubles = dict.fromkeys(table.numbers, TensorProto.DOUBLE)
    inputs = doubles | dict.fromkeys(table.strings, TensorProto.STRING)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("answer", table.dtype, [None, len(table.factors)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets)


def _feeds(session: Any, table: Table) -> dict[str, np.ndarray]:
    inputs = [Input.model_validate(column) for column in table.metadata["inputs"]]
    derived = [Derived.model_validate(column) for column in table.metadata.get("derived", ())]
    graph_inputs = {graph_input.name: graph_input.type for graph_input in session.get_inputs()}
    [(feeds, _)] = TableInputs(inputs, derived, graph_inputs).batches(table.instances)
    return feeds


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    for kind, each in TABLES.items():
        write_tiny_table(Path(sys.argv[1]) / kind, each)
