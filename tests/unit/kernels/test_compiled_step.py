"""A whole step of the dream is one graph: no break, and the same graph however long the dream."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils._pytree import tree_leaves

from dreamdrive.kernels import dispatch
from dreamdrive.worldmodel.dynamics import DynamicsConfig, Frames
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.state import RolloutState
from dreamdrive.worldmodel.tokenizer import TokenizerConfig

CONFIG = WorldModelConfig(
    vector_names=("speed", "yaw_rate"), causes=("collision",),
    tokenizer=TokenizerConfig(image_size=16, latent_channels=2, width=8, coarse_width=8),
    transformer=DynamicsConfig(width=16, num_layers=2, num_heads=2, num_key_heads=1, window=3),
)  # fmt: skip


@pytest.fixture
def model() -> Iterator[WorldModel]:
    """A model whose every weight matters."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    model = WorldModel(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    yield model
    torch._dynamo.reset()


def rollout(model: WorldModel, step, num_steps: int, batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    state: RolloutState = model.init_state(batch)
    seen = []
    with torch.no_grad():
        for _ in range(num_steps):
            action = torch.randn(batch, 2, generator=generator)
            noise = (
                torch.randn(state.latent_BCHW.shape, generator=generator),
                torch.randn(state.vector_BK.shape, generator=generator),
            )
            state, shown = step(state, action, noise)
            seen += [*shown]
    return [*tree_leaves(state), *seen]


def compiled(model: WorldModel, num_steps: int) -> tuple[CompileCounter, object]:
    counter = CompileCounter()

    def step(state: RolloutState, action: Tensor, noise: tuple[Tensor, Tensor]):
        return model.imagine_step(state, action, noise=noise, num_steps=num_steps)

    return counter, torch.compile(step, backend=counter, fullgraph=True)


@pytest.mark.parametrize("num_steps", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_step_is_one_graph_for_dreams_of_any_length(model, num_steps):
    counter, step = compiled(model, num_steps)
    with torch._dynamo.config.patch(error_on_recompile=True):
        # Longer than the window: the ring is not full, full, and written over.
        found = rollout(model, step, 9)
    assert counter.frame_count == 1
    assert counter.op_count > 50

    def plainly(state, action, noise):
        return model.imagine_step(state, action, noise=noise, num_steps=num_steps)

    for mine, theirs in zip(found, rollout(model, plainly, 9), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.slow
def test_a_step_whose_count_is_a_python_number_is_caught(model):
    """The same test of a step that keeps its count outside the state must fail."""
    counter = CompileCounter()
    count = 0

    def step(state, action, noise, count):
        state, shown = model.imagine_step(state, action, noise=noise)
        return state._replace(latent_BCHW=state.latent_BCHW * (1.0 + 0.0 * count)), shown

    made = torch.compile(step, backend=counter, fullgraph=True, dynamic=False)

    def counted(state, action, noise):
        nonlocal count
        count += 1
        return made(state, action, noise, count)

    with (
        torch._dynamo.config.patch(error_on_recompile=True),
        pytest.raises(torch._dynamo.exc.RecompileError),
    ):
        rollout(model, counted, 3)


@pytest.mark.slow
def test_a_step_of_kernels_is_one_graph_too_and_gives_the_same(model, monkeypatch):
    """What a GPU would run: every operation is an operator in the graph, here interpreted."""
    pytest.importorskip("triton")
    plain = rollout(model, lambda s, a, n: model.imagine_step(s, a, noise=n), 4)
    used: list[str] = []
    on_gpu(monkeypatch)

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]):
        used.extend(
            str(node.target) for node in graph.graph.nodes if "dreamdrive." in str(node.target)
        )
        return graph.forward

    step = torch.compile(
        lambda s, a, n: model.imagine_step(s, a, noise=n), backend=backend, fullgraph=True
    )
    with torch._dynamo.config.patch(error_on_recompile=True):
        found = rollout(model, step, 4)
    names = " ".join(used)
    for operation in (
        "adaln", "gated_residual", "qk_rope", "swiglu", "block_attention", "ring_attention",
    ):  # fmt: skip
        assert operation in names
    for mine, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_training_through_kernels_has_the_same_loss_and_gradients(model, monkeypatch):
    """The whole network forward and backward, as a GPU would run it, here interpreted."""
    pytest.importorskip("triton")
    network = model.dynamics.network.requires_grad_(True)
    generator = torch.Generator().manual_seed(2)
    shapes = ((2, 5, 2, 2, 2), (2, 5, 2), (2, 5, 2, 2, 2), (2, 5, 2), (2, 5, 2))
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    frames = Frames(*values, torch.rand(2, 5, generator=generator))

    def gradients() -> list[Tensor]:
        predicted, _ = network(frames)
        loss = sum(x.square().mean() for x in predicted)
        parameters = [p for p in network.parameters() if p.requires_grad]
        return [loss.detach(), *torch.autograd.grad(loss, parameters)]

    plain = gradients()
    on_gpu(monkeypatch)
    for mine, theirs in zip(gradients(), plain, strict=True):
        scale = float(theirs.abs().max()) + 1e-3
        assert float((mine - theirs).abs().max()) < 1e-4 * scale


def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes "auto" choose as if the tensors were on a GPU."""
    from dreamdrive.kernels import (
        adaln,
        attention,
        flow_step,
        gated_residual,
        qk_rope,
        ring_attention,
        swiglu,
    )

    choose = dispatch.choose_backend

    def triton(backend, x, problem=""):
        return choose("triton" if backend == "auto" and not problem else backend, x, problem)

    for module in (adaln, flow_step, gated_residual, qk_rope, ring_attention, swiglu):
        monkeypatch.setattr(module, "choose_backend", triton)
    monkeypatch.setattr(
        attention, "choose_attention", lambda *_: attention.Choice("triton", "for the test")
    )
