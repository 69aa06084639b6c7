"""Networks as ONNX, opened for one thread, with a time limit for each run. Only this module imports onnxruntime."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Any

import numpy.typing as npt

from predict.scoring.errors import TimeLimitError
from predict.scoring.network import external_files

# onnxruntime reads this when it is imported; otherwise it reports its use to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

# For a run at a request, and for all golden examples together when a model is loaded.
RUN_LIMIT_S = 10.0
# For onnxruntime to read a network: with many trees for many labels it takes more than a minute.
LOAD_LIMIT_S = 180.0

# The largest result that onnxruntime computes of constants when it loads a network. Larger ones are left for each run.
_MOST_CONSTANT_BYTES = 64 << 20
# It prints what it raises, unless it is told to print nothing but the end of the process.
_FATAL = 4

Arrays = Mapping[str, npt.NDArray[Any]]


class Session:
    """A network that is ready; several threads may ask at once."""

    def __init__(self, session: Any, limit_s: float | None, weights: Sequence[bytes] = ()) -> None:
        """Take a session of onnxruntime, and the weights from other files, which it reads where they are."""
        self._session, self._limit_s, self._weights = session, limit_s, weights
        # Name -> type, and name -> shape, of the inputs.
        inputs = session.get_inputs()
        self.input_types: dict[str, str] = {given.name: given.type for given in inputs}
        self.input_shapes: dict[str, list[Any]] = {given.name: given.shape for given in inputs}
        self.outputs: list[str] = [made.name for made in session.get_outputs()]

    def run(self, outputs: Sequence[str], feeds: Arrays) -> list[Any]:
        """Compute outputs from inputs.

        onnxruntime looks between two operations whether it should end, so a single one that takes minutes is waited
        for, such as a product of huge matrices. Its answer does not count either.

        Raises:
            TimeLimitError: It took longer than the limit.
        """
        if self._limit_s is None:
            answers: list[Any] = self._session.run(outputs, feeds)
            return answers
        options = onnxruntime.RunOptions()
        watched = _Run(options, monotonic() + self._limit_s)
        _watch.add(watched)
        try:
            answers = self._session.run(outputs, feeds, options)
        except Exception:
            if not watched.ended:
                raise
        finally:
            _watch.remove(watched)
        if watched.ended:
            raise TimeLimitError(f"the model took longer than {self._limit_s:g} s")
        return answers


def open_session(
    content: bytes,
    read_weights: Callable[[str], bytes] | None = None,
    limit_s: float | None = RUN_LIMIT_S,
) -> Session:
    """Load a network.

    Args:
        content: In ONNX.
        read_weights: Returns the content of a file beside it, from which it reads weights; None: there is none.
        limit_s: For each of its runs; None for none.

    Raises:
        ValueError: It is not a network that onnxruntime can load, in time.
    """
    options = onnxruntime.SessionOptions()
    # Small models: handing work to other threads costs more than it saves, and requests have their own.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # A file of onnxruntime's own format would not be read by `external_files`.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", str(_MOST_CONSTANT_BYTES)
    )
    names = external_files(content)
    if names and read_weights is None:
        raise ValueError(f"it reads the file {names[0]!r}; store its weights in the network itself")
    weights = [read_weights(name) for name in names] if read_weights else []
    if names:
        options.add_external_initializers_from_files_in_memory(
            names, weights, [len(each) for each in weights]
        )
    load = _Load(options, monotonic() + LOAD_LIMIT_S)
    try:
        with _watching(load):
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        # It would keep the network for a second attempt with other devices, which is switched off.
        session._model_bytes = None
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        why = f"takes longer than {LOAD_LIMIT_S:g} s" if load.ended else f"cannot load it ({error})"
        raise ValueError(f"onnxruntime {why}") from error
    return Session(session, limit_s, weights)


class _Run:
    """A run that must end in time."""

    __slots__ = ("_options", "deadline", "ended")

    def __init__(self, options: Any, deadline: float) -> None:
        self._options, self.deadline, self.ended = options, deadline, False

    def end(self) -> None:
        self.ended = True
        self._options.terminate = True


class _Load(_Run):
    """A network that must be loaded in time."""

    def end(self) -> None:
        self.ended = True
        self._options.set_load_cancellation_flag(True)


class _Watch:
    """Ends what takes too long: a thread of its own, from the first run on, which sleeps while nothing runs."""

    _TICK_S = 0.1
    # Waking the thread takes longer than a run: it stays awake for so many ticks after the last one.
    _IDLE_TICKS = 50

    def __init__(self) -> None:
        self._watched: dict[int, _Run] = {}
        self._is_awake, self._lock = Event(), Lock()
        self._thread: Thread | None = None

    def add(self, run: _Run) -> None:
        self._watched[id(run)] = run
        if not self._is_awake.is_set():
            self._wake()

    def remove(self, run: _Run) -> None:
        del self._watched[id(run)]

    def _wake(self) -> None:
        with self._lock:
            if self._thread is None:
                os.register_at_fork(after_in_child=_forget_the_thread)
                self._thread = Thread(target=self._end_late_ones, name="time limits", daemon=True)
                self._thread.start()
            self._is_awake.set()

    def _end_late_ones(self) -> None:
        idle_ticks = 0
        while True:
            sleep(self._TICK_S)
            idle_ticks = 0 if self._watched else idle_ticks + 1
            now = monotonic()
            for run in list(self._watched.values()):
                if run.deadline < now and not run.ended:
                    run.end()
            if idle_ticks > self._IDLE_TICKS:
                self._is_awake.clear()
                # A run that came just before saw it awake.
                if not self._watched:
                    self._is_awake.wait()
                idle_ticks = 0


_watch = _Watch()


def _forget_the_thread() -> None:
    """A process that was forked has no thread but the one that forked."""
    global _watch
    _watch = _Watch()


@contextmanager
def _watching(run: _Run) -> Iterator[None]:
    _watch.add(run)
    try:
        yield
    finally:
        _watch.remove(run)
