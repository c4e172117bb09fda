"""A step exported to another runtime is the model's; what is kept is never another's."""

import logging
from types import SimpleNamespace

import pytest
import torch

from dreamdrive.errors import ConfigError, KernelError
from dreamdrive.worldmodel import exported as subject
from dreamdrive.worldmodel.engine import build_decode, build_step, measure_engines
from dreamdrive.worldmodel.exported import ExportedStep, PictureGraph, StepGraph, missing
from dreamdrive.worldmodel.memory import MemoryConfig
from dreamdrive.worldmodel.model import WorldModel
from support.lively import lively

RUNTIMES = ("onnxruntime", "openvino")
each_that_is_here = pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(name, marks=pytest.mark.skipif(bool(missing(name)), reason="not installed"))
        for name in RUNTIMES
    ],
)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def plain(monkeypatch):
    """A runtime that runs the graph itself; its files hold nothing. Tells what was exported."""
    made: list[str] = []
    here: dict[str, object] = {}

    def export(graph, given) -> bytes:
        made.append(graph.name)
        here["graph"] = graph
        return b"a graph"

    def run(path, precision):
        if path.read_bytes() != b"a graph":
            raise RuntimeError("no graph")
        graph = here["graph"]

        def session(given):
            with torch.no_grad():
                out = graph(*(torch.from_numpy(x) for x in given.values()))
            return [x.detach().numpy() for x in out]

        return session

    monkeypatch.setattr(subject, "exported", export)
    monkeypatch.setattr(subject, "_onnxruntime", run)
    return SimpleNamespace(made=made)


def gap(model: WorldModel, step, num_steps: int = 1) -> float:
    """The largest difference to the model over more frames than the ring holds, pictures too."""
    show = build_decode(model, step)
    mine = theirs = model.init_state(2)
    largest, generator = 0.0, torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(5):
            action = torch.rand(2, 2, generator=generator) * 2.0 - 1.0
            noise = tuple(
                torch.randn(x.shape, generator=generator)
                for x in (mine.latent_BCHW, mine.vector_BK)
            )
            mine, seen = step(mine, action, noise=noise, num_steps=num_steps, in_place=True)
            theirs, right = model.imagine_step(theirs, action, noise=noise, num_steps=num_steps)
            (image, mine), (picture, theirs) = show(mine), model.decode_step(theirs)
            pairs = zip(
                (image, *seen, *mine.leaves()), (picture, *right, *theirs.leaves()), strict=True
            )
            for a, b in pairs:
                scale = max(1.0, float(b.abs().max()))
                largest = max(largest, float((a - b).abs().max()) / scale)
    return largest


@each_that_is_here
def test_another_runtime_dreams_what_the_model_does(runtime):
    for num_steps in (1, 4):
        assert gap(lively(), build_step(lively(), 2, runtime), num_steps) < 1e-4


@each_that_is_here
def test_a_damaged_file_is_made_again(runtime, tmp_path, caplog):
    assert gap(lively(), ExportedStep(lively(), 2, runtime)) < 1e-4
    for path in tmp_path.rglob("*.onnx"):
        path.write_bytes(b"\0broken")
    with caplog.at_level(logging.WARNING):
        assert gap(lively(), ExportedStep(lively(), 2, runtime)) < 1e-4
    assert "cannot be read and is made again" in caplog.text


def test_the_graphs_are_the_models_step_and_picture(plain):
    assert gap(lively(), ExportedStep(lively(), 2, "onnxruntime"), 2) == 0.0
    assert plain.made == ["step2", "picture"]


def test_what_is_kept_is_used_again_and_no_other_models(plain, caplog, tmp_path):
    def dream(model: WorldModel, batch: int = 2) -> None:
        given = dict.fromkeys(("latent", "cache"), torch.zeros(batch))
        subject.session(PictureGraph(model), given, model, "onnxruntime", "float32")

    model = lively()
    dream(model)
    dream(model)
    assert len(plain.made) == 1
    model.tokenizer.head.bias[0] += 1.0
    dream(model)
    dream(model, 3)
    assert len(plain.made) == 3
    dream(model, 3)
    assert len(plain.made) == 3
    for path in tmp_path.rglob("*.onnx"):
        path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        dream(model)
    assert len(plain.made) == 4
    assert "cannot be read and is made again: no graph" in caplog.text


def test_branches_and_models_that_tell_less_are_stepped_as_well(plain):
    model = lively()
    model.heads.doubt = model.heads.quantities = None
    step, start = ExportedStep(model, 4, "onnxruntime"), model.init_state(2)
    noise = torch.zeros(4, *model.latent_shape), torch.zeros(4, 2)
    with torch.no_grad():
        state, seen = step(start.fork(2), torch.ones(4, 2), noise=noise)
        _, right = model.imagine_step(start.fork(2), torch.ones(4, 2), noise=noise)
    assert seen.doubt_B is None
    assert torch.equal(seen.reward_B, right.reward_B)
    assert state.memory.count_B.tolist() == [1] * 4
    with pytest.raises(ConfigError, match="made for 4 dreams, not for 2"):
        step(start, torch.ones(2, 2), noise=noise)


def test_what_cannot_run_says_why(monkeypatch):
    monkeypatch.setattr(
        subject.importlib.util, "find_spec", lambda name: None if name == "openvino" else object()
    )
    with pytest.raises(KernelError, match=r"openvino not installed: pip install .*\[engines\]"):
        build_step(lively(), 2, "openvino")
    assert "openvino not installed" in measure_engines(lively(), 2, ("openvino",))["openvino"]
    with pytest.raises(ConfigError, match="'onnxruntime' has no bfloat16"):
        build_step(lively(), 2, "onnxruntime", "bfloat16")
    for model in (
        lively("recurrent"),
        lively(memory=MemoryConfig(num_slots=4, slot_width=8, controller_width=8)),
    ):
        with pytest.raises(KernelError, match="transformers without an external memory"):
            build_step(model, 2, "onnxruntime")
    guided = lively(has_null_action=True)
    guided.dynamics.guidance = 2.0
    with pytest.raises(KernelError, match="it has no guidance"):
        build_step(guided, 2, "onnxruntime")
    assert StepGraph(lively(), 4).name == "step4"
