"""The export of a fitted scikit-learn pipeline to ONNX that computes what scikit-learn computes.

Numbers are doubles from end to end: in float32 a value that lies on a tree's threshold would go the other way. In
double, skl2onnx converts some steps right, and those are left to it (`by_skl2onnx`). The rest is converted here: trees,
imputers, encoders and bins, for which skl2onnx makes graphs that do not load, compare in float32 or answer differently,
and what is so short (a division, a product) or so common that it should not depend on a sample.

Checked with scikit-learn 1.9, skl2onnx 1.20, onnx 1.23 and onnxruntime 1.31. Where a step keeps what it learnt in
private attributes alone, these are read, and a comment says so. If another version behaves differently, no wrong model
comes of it: every training run compares the export with scikit-learn on the whole test split, and keeps none that
differs.

Imports run one way: convert → checks → containers → {transformers → words, predictors → trees, by_skl2onnx} → graph.
"""

from train.onnx_export.checks import check_exportable
from train.onnx_export.containers import UnsupportedStepError
from train.onnx_export.convert import to_onnx

__all__ = ["UnsupportedStepError", "check_exportable", "to_onnx"]
