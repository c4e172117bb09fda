"""A step and its picture by another runtime: exported as ONNX, run by ONNX Runtime or OpenVINO.

Both compile the whole graph for the processor, which costs a small batch less than a call for each
of its parts. What was exported is kept in the user's cache folder under a name that changes with
the weights, the sizes, this package's code and PyTorch's version; a file that cannot be read is
made again. The result is the model's own but for rounding.
"""

import hashlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dreamdrive.config import to_dict
from dreamdrive.errors import ConfigError
from dreamdrive.files import cache_folder, write_atomically
from dreamdrive.worldmodel.blocks import Branch, Ring
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision
from dreamdrive.worldmodel.state import Imagined, RolloutState

Runtime = Literal["onnxruntime", "openvino"]
OPSET = 18
SOURCES = ("worldmodel", "kernels")
"""Folders whose code an exported file depends on."""

Session = Callable[[Mapping[str, Any]], list[Any]]
"""Arrays by name to arrays in the order of the outputs."""

log = logging.getLogger(__name__)


def missing(runtime: Runtime) -> list[str]:
    """Returns the packages that a runtime needs and that are not installed."""
    return [name for name in ("onnx", runtime) if importlib.util.find_spec(name) is None]


class ExportedStep:
    """`WorldModel.imagine_step` for B dreams by another runtime; without gradients.

    Args:
        model: A transformer on the CPU without an external memory.
        batch_size: B.
        runtime: Which; its package must be installed.
        precision: Of the products; bfloat16 with OpenVINO only.
    """

    def __init__(
        self, model: WorldModel, batch_size: int, runtime: Runtime,
        precision: Precision = "float32",
    ) -> None:  # fmt: skip
        self.model, self.batch_size = model, batch_size
        self.runtime: Runtime = runtime
        self.precision: Precision = precision
        self._sessions: dict[int, Session] = {}

    def __call__(
        self, state: RolloutState, action_BA: Tensor, *, noise: tuple[Tensor, Tensor],
        num_steps: int = 1, in_place: bool = False,
    ) -> tuple[RolloutState, Imagined]:  # fmt: skip
        """Returns what `WorldModel.imagine_step` returns, but for rounding; arguments as there.

        Raises:
            ConfigError: If the batch is not of the size that the step was made for.
        """
        if len(action_BA) != self.batch_size:
            raise ConfigError(
                f"The step was made for {self.batch_size} dreams, not for {len(action_BA)}"
            )
        memory: Any = state.memory
        ring = memory.joined() if isinstance(memory, Branch) else memory
        given = dict(
            zip(StepGraph.INPUTS, (state.latent_BCHW, state.vector_BK, action_BA, *noise, *ring),
                strict=True)
        )  # fmt: skip
        if num_steps not in self._sessions:
            self._sessions[num_steps] = session(
                StepGraph(self.model, num_steps), given, self.model, self.runtime, self.precision
            )
        key, value, count, *told = _run(self._sessions[num_steps], given)
        seen = StepGraph.unpacked(self.model, told)
        after = state.followed_by(seen.latent_BCHW)
        return after._replace(vector_BK=seen.vector_BK, memory=Ring(key, value, count)), seen


class ExportedDecode:
    """`WorldModel.decode_step` by the runtime of an `ExportedStep`."""

    def __init__(self, step: ExportedStep) -> None:
        self._step = step
        self._session: Session | None = None

    def __call__(self, state: RolloutState) -> tuple[Tensor, RolloutState]:
        """Returns what `WorldModel.decode_step` returns, but for rounding."""
        step = self._step
        given = {"latent": state.latent_BCHW, "cache": state.decoder_cache}
        if self._session is None:
            self._session = session(
                PictureGraph(step.model), given, step.model, step.runtime, step.precision
            )
        image, kept = _run(self._session, given)
        return image, state._replace(decoder_cache=kept)


class StepGraph(nn.Module):
    """`imagine_step` of tensors alone."""

    INPUTS = ("latent", "vector", "action", "noise", "vector_noise", "key", "value", "count")

    def __init__(self, model: WorldModel, num_steps: int) -> None:
        super().__init__()
        self.model, self.num_steps = model, num_steps

    @property
    def name(self) -> str:
        """A word for it."""
        return f"step{self.num_steps}"

    def forward(
        self, latent: Tensor, vector: Tensor, action: Tensor, noise: Tensor,
        vector_noise: Tensor, key: Tensor, value: Tensor, count: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Returns the ring's three tensors, then what is seen."""
        state = self.model.init_state(len(latent))._replace(
            latent_BCHW=latent, vector_BK=vector, memory=Ring(key, value, count)
        )
        # With gradients a ring is written by a choice and not by an index, which has no ONNX.
        with torch.enable_grad():
            after, seen = self.model.imagine_step(
                state, action, noise=(noise, vector_noise), num_steps=self.num_steps
            )
        return (*after.memory, *(x for x in seen if x is not None))

    @staticmethod
    def unpacked(model: WorldModel, told: list[Tensor]) -> Imagined:
        """Returns what is seen from the outputs, which leave out what this model does not tell."""
        heads, rest = model.heads, iter(told[5:])
        doubt = None if heads.doubt is None else next(rest)
        quantity = None if heads.quantities is None else next(rest)
        latent, vector, reward, termination, uncertainty = told[:5]
        return Imagined(latent, vector, reward, termination, uncertainty, doubt, quantity)


class PictureGraph(nn.Module):
    """`decode_step` of tensors alone."""

    name = "picture"

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the picture and the decoder's cache."""
        model = self.model
        image, kept = model.tokenizer.decode(model.unnormalise_latent(latent[:, None]), cache)
        return image[:, 0].clamp(0.0, 1.0), kept


# --- files and sessions --------------------------------------------------------------------------


def session(
    graph: Any, given: Mapping[str, Tensor], model: WorldModel, runtime: Runtime,
    precision: Precision,
) -> Session:  # fmt: skip
    """Returns a runtime's session of a graph, exported before if that is not kept yet.

    Raises:
        StorageError: If the file could not be written.
    """
    path = cache_folder() / "graphs" / f"{graph.name}-{_digest(model, given)}.onnx"
    make = _onnxruntime if runtime == "onnxruntime" else _openvino
    if path.is_file():
        try:
            return make(path, precision)
        except Exception as error:
            # Each runtime has errors of its own for a file that it cannot read.
            log.warning("%s cannot be read and is made again: %s", path, error)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, exported(graph, given))
    return make(path, precision)


def exported(graph: nn.Module, given: Mapping[str, Tensor]) -> bytes:
    """Returns a graph as ONNX, with the shapes of its inputs."""
    file: Any = io.BytesIO()
    names = list(given)
    with warnings.catch_warnings():
        # The exporter traces what is meant to be traced and warns of its own age.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(), tuple(x.detach().clone() for x in given.values()), file, dynamo=False,
            opset_version=OPSET, input_names=names,
        )  # fmt: skip
    return file.getvalue()


def _onnxruntime(path: Path, precision: Precision) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    made = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )  # fmt: skip
    names = {x.name for x in made.get_inputs()}
    return lambda given: list(
        made.run(None, {name: value for name, value in given.items() if name in names})
    )


def _openvino(path: Path, precision: Precision) -> Session:
    import openvino

    how = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "ENABLE_CPU_PINNING": False,
    }  # fmt: skip
    compiled = openvino.Core().compile_model(str(path), "CPU", how)
    request = compiled.create_infer_request()
    names = {name for port in compiled.inputs for name in port.names}

    def run(given: Mapping[str, Any]) -> list[Any]:
        # Copies come out: the next step's results would lie where this one's are.
        found = request.infer(
            {name: value for name, value in given.items() if name in names}, share_inputs=True
        )
        return list(found.values())

    return run


def _run(run: Session, given: Mapping[str, Tensor]) -> list[Tensor]:
    arrays = {name: value.detach().contiguous().numpy() for name, value in given.items()}
    return [torch.from_numpy(value) for value in run(arrays)]


def _digest(model: WorldModel, given: Mapping[str, Tensor]) -> str:
    """Returns a word that is another one for other weights, sizes, code or versions."""
    found = hashlib.sha256(_code())
    found.update(repr((to_dict(model.config), torch.__version__)).encode())
    found.update(repr([(name, tuple(x.shape)) for name, x in given.items()]).encode())
    for value in model.state_dict().values():
        found.update(value.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:20]


@cache
def _code() -> bytes:
    root = Path(__file__).resolve().parents[1]
    files = sorted(path for name in SOURCES for path in (root / name).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).digest()
