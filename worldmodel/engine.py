"""Which way a step of the dream is computed: told by name, or what was measured to be fastest here.

`eager` is the model itself, the meaning of all others. `fused` has packed products and compiled
loops (`fused`), `onnxruntime` and `openvino` are those runtimes (`exported`), `compiled` is
torch.compile's C++. Asked for by name, a way that cannot run says
why. `auto` is eager until the ways were measured on this machine (`dreamdrive bench engines`), and
from then on the fastest.
"""

import copy
import hashlib
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dreamdrive.config import to_dict
from dreamdrive.errors import ConfigError, KernelError
from dreamdrive.files import cache_folder, write_atomically
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.exported import ExportedDecode, ExportedStep, Runtime, missing
from dreamdrive.worldmodel.fused import FusedStep
from dreamdrive.worldmodel.fused_decode import FusedDecode
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision, has_packed_products
from dreamdrive.worldmodel.state import RolloutState
from dreamdrive.worldmodel.transformer import TransformerDynamics

Engine = Literal["auto", "eager", "fused", "onnxruntime", "openvino", "compiled"]
ENGINES: tuple[str, ...] = get_args(Engine)
PRECISIONS: tuple[str, ...] = get_args(Precision)
FILE = "engines.json"
WARM_UP_STEPS = 3
"""Before the first step that is measured, or so many as fill the ring, which costs less empty."""
IN_16_BITS: tuple[str, ...] = ("fused", "openvino")
"""Ways that have products in bfloat16."""
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
COMPILERS = ("g++", "clang++")
NOT_FUSED = (
    "attention",
    "num_registers",
    "modulation",
    "has_qk_norm",
    "has_rope",
    "predicts",
    "surroundings",
)
"""Options of the transformer that the fused way has by default only."""

Imagine = Callable[..., Any]
"""With the arguments and the result of `WorldModel.imagine_step`."""

log = logging.getLogger(__name__)


def build_step(
    model: WorldModel, batch_size: int, engine: Engine = "auto", precision: Precision = "float32"
) -> Imagine:
    """Returns a step of a model's dreams, with the arguments of `WorldModel.imagine_step`.

    Args:
        model: The model.
        batch_size: How many dreams are stepped together.
        engine: Which way.
        precision: Of the matrix products; bfloat16 is for the fused way, on processors that have
            it, and for OpenVINO there.

    Raises:
        ConfigError: If there is no such way or precision, or they do not go together.
        KernelError: If a way that was asked for by name cannot run here.
    """
    if engine not in ENGINES or precision not in PRECISIONS:
        raise ConfigError(
            f"There is no engine {engine!r} in {precision!r}",
            do=f"Known: {', '.join(ENGINES)}; {', '.join(PRECISIONS)}.",
        )
    if engine == "auto":
        engine = fastest_engine(model, batch_size, precision)
    if engine not in IN_16_BITS and precision != "float32":
        raise ConfigError(f"The engine {engine!r} has no {precision}", do="Use engine='fused'.")
    why = why_not(model, engine)
    if why:
        raise KernelError(f"The engine {engine!r} cannot run: {why}", do="Use engine='eager'")
    if engine == "eager":
        return model.imagine_step
    if engine == "fused":
        return FusedStep(model, batch_size, precision)
    if engine == "onnxruntime" or engine == "openvino":
        return ExportedStep(model, batch_size, engine, precision)
    return torch.compile(model.imagine_step, fullgraph=True, dynamic=False)


def build_decode(model: WorldModel, step: Imagine) -> Imagine:
    """Returns what shows the frames of a step's dreams, as `WorldModel.decode_step`."""
    if isinstance(step, FusedStep):
        return FusedDecode(model, step.batch_size, step.precision)
    if isinstance(step, ExportedStep):
        return ExportedDecode(step)
    return model.decode_step


def computed_by(model: WorldModel, engine: Engine, precision: Precision = "float32") -> WorldModel:
    """Returns a copy of a model whose dreams and pictures an engine computes, of any batch size.

    It observes real frames as the model does.

    Args:
        model: On the CPU.
        engine: Which way.
        precision: Of the matrix products.

    Raises:
        ConfigError: If there is no such way or precision, or they do not go together.
        KernelError: If the way cannot run here.
    """
    made: dict[int, tuple[Imagine, Imagine]] = {}

    def of(batch_size: int) -> tuple[Imagine, Imagine]:
        if batch_size not in made:
            step = build_step(model, batch_size, engine, precision)
            made[batch_size] = step, build_decode(model, step)
        return made[batch_size]

    def imagine_step(
        state: RolloutState, action_BA: Tensor, *, generator: torch.Generator | None = None,
        noise: tuple[Tensor, Tensor] | None = None, num_steps: int = 1, in_place: bool = False,
    ) -> Any:  # fmt: skip
        if noise is None:
            like = state.latent_BCHW.shape, state.vector_BK.shape
            first, second = (torch.randn(x, generator=generator) for x in like)
            noise = first, second
        step, _ = of(len(action_BA))
        return step(state, action_BA, noise=noise, num_steps=num_steps, in_place=in_place)

    def decode_step(state: RolloutState) -> Any:
        return of(len(state.vector_BK))[1](state)

    of(1)
    copied = copy.deepcopy(model)
    vars(copied).update(imagine_step=imagine_step, decode_step=decode_step)
    return copied


def why_not(model: WorldModel, engine: Engine) -> str:
    """Returns why a way cannot run here, as words that follow a colon; empty if it can."""
    if engine == "fused":
        dynamics = model.dynamics
        if not isinstance(dynamics, TransformerDynamics):
            return f"it is written for transformers, not for models of the kind {model.config.kind}"
        if dynamics.guidance != 1.0:
            return "it has no guidance"
        sizes, plain = model.config.transformer, DynamicsConfig()
        if odd := [name for name in NOT_FUSED if getattr(sizes, name) != getattr(plain, name)]:
            return f"it is written for the default {' and '.join(odd)} of a transformer"
        if model.config.tokenizer.dilations != (1,):
            return "it is written for the default dilations of a tokenizer"
        if model.device.type != "cpu":
            return f"it is for processors, and the model is on {model.device}"
        if not has_packed_products():
            return "this PyTorch is built without oneDNN"
    if engine in RUNTIMES:
        if packages := missing(engine):
            names = " and ".join(packages)
            return f"{names} not installed: pip install 'dreamdrive[engines]'"
        dynamics = model.dynamics
        if not isinstance(dynamics, TransformerDynamics) or dynamics.external is not None:
            return "it is written for transformers without an external memory"
        if dynamics.guidance != 1.0:
            return "it has no guidance"
        if model.device.type != "cpu":
            return f"it is for processors, and the model is on {model.device}"
    if engine == "compiled" and model.device.type == "cpu":
        named = os.environ.get("CXX")
        if not any(shutil.which(name) for name in ([named] if named else COMPILERS)):
            return f"there is no C++ compiler ({named or ' or '.join(COMPILERS)})"
    return ""


# --- what was measured ---------------------------------------------------------------------------


def measure_engines(
    model: WorldModel, batch_size: int, engines: tuple[Engine, ...] = ("eager", "fused"),
    precision: Precision = "float32", seconds: float = 1.0,
) -> dict[str, float | str]:  # fmt: skip
    """Returns the seconds that a step takes each way at least, or why it cannot run.

    The ways take turns, and the least of many counts: what else a machine does only adds to it.
    """
    found: dict[str, float | str] = {}
    steps: dict[str, Callable[[], Any]] = {}
    action = torch.zeros(batch_size, model.config.action_size, device=model.device)
    for engine in engines:
        why = why_not(model, engine)
        if why:
            found[engine] = why
            continue
        how = precision if engine in IN_16_BITS else "float32"
        step, state = build_step(model, batch_size, engine, how), model.init_state(batch_size)
        noise = (torch.zeros_like(state.latent_BCHW), torch.zeros_like(state.vector_BK))
        steps[engine] = _going_on(step, state, action, noise)
        window = model.config.transformer.window if model.config.kind == "transformer" else 0
        for _ in range(max(WARM_UP_STEPS, window)):
            steps[engine]()
    times: dict[str, list[float]] = {name: [] for name in steps}
    deadline = time.perf_counter() + seconds * max(1, len(steps))
    while time.perf_counter() < deadline:
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    for name, taken in times.items():
        found[name] = min(taken)
    return found


def _going_on(step: Imagine, state: Any, action: Any, noise: Any) -> Callable[[], None]:
    """Returns a step that goes on from where the last one ended."""

    def once() -> None:
        nonlocal state
        with torch.no_grad():
            state, _ = step(state, action, noise=noise, in_place=True)

    return once


def remember(
    model: WorldModel, batch_size: int, times: dict[str, float | str],
    precision: Precision = "float32",
) -> Path:  # fmt: skip
    """Keeps what was measured, for `auto`, and returns the file.

    Raises:
        StorageError: If it could not be written.
    """
    path = cache_folder() / FILE
    kept = _read(path)
    if kept.get("machine") != _machine():
        kept = {"machine": _machine(), "steps": {}}
    seconds = {name: value for name, value in times.items() if isinstance(value, float)}
    kept["steps"][_key(model, batch_size, precision)] = seconds
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(kept, indent=2) + "\n").encode())
    return path


def fastest_engine(model: WorldModel, batch_size: int, precision: Precision = "float32") -> Engine:
    """Returns the way that was measured to be fastest here.

    Where nothing was measured that is eager, or fused in bfloat16, which eager has not. A
    measurement of another machine or of other versions counts as none, which is said.
    """
    usual: Engine = "eager" if precision == "float32" else "fused"
    if model.device.type != "cpu":
        return usual
    path = cache_folder() / FILE
    kept = _read(path)
    if not kept:
        return usual
    if kept.get("machine") != _machine():
        log.warning(
            "%s was measured on another machine or with other versions and is not used: run "
            "`dreamdrive bench engines` again", path,
        )  # fmt: skip
        return usual
    times = kept["steps"].get(_key(model, batch_size, precision), {})
    able = {name: value for name, value in times.items() if not why_not(model, name)}
    best: Engine = min(able, key=lambda name: able[name], default=usual)
    return best


def _read(path: Path) -> dict[str, Any]:
    """Returns what was kept; nothing where it is missing or damaged, as it can be made again."""
    try:
        kept = json.loads(path.read_text())
        return kept if isinstance(kept["steps"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _key(model: WorldModel, batch_size: int, precision: Precision) -> str:
    sizes = json.dumps(to_dict(model.config), sort_keys=True).encode()
    return f"{hashlib.sha256(sizes).hexdigest()[:16]} x {batch_size}, {precision}"


def _machine() -> dict[str, str]:
    """Returns what a measurement depends on beside the model."""
    versions = {name: metadata.version(name) for name in ("torch", "numba")}
    for runtime in RUNTIMES:
        if not missing(runtime):
            versions[runtime] = metadata.version(runtime)
    return versions | {
        "processor": platform.processor() or platform.machine(),
        "capability": str(torch.backends.cpu.get_cpu_capability()),
        "threads": str(torch.get_num_threads()),
    }
