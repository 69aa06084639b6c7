"""The head of a text model for one text at a time, in numpy: for so few sums a call of onnxruntime takes too long."""

from collections.abc import Mapping
from math import sqrt

import numpy as np
import numpy.typing as npt

from predict.contract.text_table import SMALLEST_SQUARE, Sums

Floats = npt.NDArray[np.float32]

_NO_LAYER = np.zeros((1, 0), np.float32)


class TextHead:
    """What `model.onnx` computes, from the same weights; several threads may ask at once."""

    def __init__(self, weights: Mapping[str, Floats], several_labels: bool) -> None:
        """Take the weights.

        Args:
            weights: By the names in `HEAD`, <float32>: `encoder_kernel` [encoder width, num_labels + vector_size] if
                there is an encoder; `hidden_kernel` [vector_size, hidden_size] and `hidden_bias` [hidden_size] if there
                is a hidden layer; `kernel` [num_labels + vector_size + hidden_size, num_labels], `bias` [num_labels];
                and perhaps `log_prior` [num_labels], which is added to the logarithms of probabilities.
            several_labels: Whether a text may have several labels, each with a probability of its own; else they sum
                to 1.

        Raises:
            ValueError: They do not fit one another.
        """
        kernel, bias = weights["kernel"], weights["bias"]
        hidden_kernel = weights.get("hidden_kernel", _NO_LAYER)
        hidden_bias = weights.get("hidden_bias", _NO_LAYER[0])
        self._log_prior = weights.get("log_prior")
        self._encoder_kernel = weights.get("encoder_kernel")
        vector_size, self._hidden_size = hidden_kernel.shape
        num_read = len(kernel) - self._hidden_size
        # A text has a row of one, for the biases, and then what both parts of the head read: one product for all.
        self._first = np.zeros((1 + num_read, self._hidden_size + len(bias)), np.float32)
        self._first[0] = np.concatenate([hidden_bias, bias])
        self._first[1 + num_read - vector_size :, : self._hidden_size] = hidden_kernel
        self._first[1:, self._hidden_size :] = kernel[:num_read]
        self._second = np.ascontiguousarray(kernel[num_read:])
        # Of the same size: numpy takes twice as long for a number of Python's.
        self._nothing = np.zeros(self._hidden_size, np.float32)
        self._none, self._ones = np.zeros(len(bias), np.float32), np.ones(len(bias), np.float32)
        self._several_labels = several_labels

    def of(self, sums: Sums, encoded: Floats | None = None) -> Floats:
        """Return the probabilities of one text, <float32>[1, num_labels].

        Args:
            sums: Of `TextSums`, <float32>[1, 2, width].
            encoded: What an encoder says of the text, <float32>[1, encoder width], if there is one.
        """
        margins = self.margins(sums, encoded)
        # The logarithm of the probability of each label against all others.
        logarithms = -np.logaddexp(self._none, -margins)
        if not self._several_labels:
            if self._log_prior is not None:
                logarithms += self._log_prior
            logarithms -= logarithms[logarithms.argmax()]
        probabilities: Floats = np.exp(logarithms)
        if not self._several_labels:
            probabilities /= probabilities.dot(self._ones)
        return probabilities.reshape(1, -1)

    def margins(self, sums: Sums, encoded: Floats | None = None) -> Floats:
        """Return the log odds of each label of one text, judged by itself, <float32>[num_labels].

        Args:
            sums: See `of`.
            encoded: See `of`.
        """
        rows = sums[0]
        of_words, of_ngrams = rows[:, 0].tolist()
        scales = (1 / sqrt(of_words + SMALLEST_SQUARE), 1 / sqrt(of_ngrams + SMALLEST_SQUARE))
        both = np.array(scales, np.float32).dot(rows)
        both[0] = 1
        if self._encoder_kernel is not None and encoded is not None:
            both[1:] += encoded[0].dot(self._encoder_kernel)
        joined = both.dot(self._first)
        margins: Floats = joined[self._hidden_size :]
        margins += np.maximum(joined[: self._hidden_size], self._nothing).dot(self._second)
        return margins

    @property
    def linear(self) -> tuple[Floats, Floats] | None:
        """What makes margins of sums of length one: <float32>[width of a vector, num_labels], and the biases.

        None if there is a hidden layer, or an encoder, so that margins are no sum over the parts of a text.
        """
        if self._hidden_size or self._encoder_kernel is not None:
            return None
        return self._first[1:], self._first[0]
