"""What the text model is fitted on: the TF-IDF weights of texts, and beside them the vectors of an encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import scipy.sparse

from predict.contract.features import TextFeatures
from train.features.encoder import PretrainedEncoder
from train.features.feature_table import Design, FeatureTable, weigh


@dataclass(frozen=True)
class TextDesign:
    """How texts become the rows of a design.

    Attributes:
        features: The ids of texts.
        table: The rows of ids, and their weights.
        encoder: A pretrained encoder; None for none.
    """

    features: TextFeatures
    table: FeatureTable
    encoder: PretrainedEncoder | None = None

    @property
    def num_columns(self) -> int:
        """How many columns a design has: the rows of the table, then the numbers of the encoder's vectors."""
        return len(self.table.idf) + (self.encoder.width if self.encoder else 0)

    def of(self, texts: Sequence[str]) -> Design:
        """Return the design of texts, sparse <float32>[num_texts, num_columns]."""
        return self.join(weigh(self.features, self.table, texts), texts)

    def join(self, weights: Design, texts: Sequence[str]) -> Design:
        """Return the design of texts whose weights are known already."""
        if self.encoder is None:
            return weights
        # All three blocks of a text have a length of one: words and pairs, n-grams, and the encoder's vector.
        encoded = scipy.sparse.csr_matrix(self.encoder.encode(texts))
        return scipy.sparse.hstack([weights, encoded], format="csr")
