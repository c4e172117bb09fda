"""On a GPU: every kernel against its meaning at the sizes that it will meet, and within a graph."""

import json

import pytest
import torch

from dreamdrive.experiments.bench_kernels import BenchKernelsConfig, bench_kernels
from dreamdrive.kernels.attention import attention
from dreamdrive.kernels.block_attention import Frames
from dreamdrive.kernels.cases import Sizes, cases
from dreamdrive.worldmodel.model import WorldModel
from support.kernels import TOLERANCE, parity

HAS_GPU = torch.cuda.is_available()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA device"),
]

NAMES = [case.name for case in cases(Sizes())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_parity_at_real_sizes(name, dtype):
    torch.manual_seed(0)
    case = next(c for c in cases(Sizes(batch=128), dtype, "cuda") if c.name == name)
    inputs = [
        x.detach().requires_grad_(i < case.num_differentiated) for i, x in enumerate(case.inputs)
    ]
    parity(
        lambda *x: case.call(*x, backend="triton"),
        lambda *x: case.call(*x, backend="torch"),
        inputs,
        # Sums over many rows are taken in another order than by the reference.
        tolerance=4.0 * TOLERANCE[dtype],
    )


@pytest.mark.parametrize("method", ["sdpa", "flex", "flash-attn"])
@pytest.mark.parametrize("frames", [Frames(1, 32), Frames(16, 3, 1)])
def test_attentions_agree(method, frames):
    torch.manual_seed(0)
    shapes = [(2, 256, 4, 64), (2, 256, 2, 64), (2, 256, 2, 64)]
    query, key, value = (torch.randn(s, device="cuda").bfloat16() for s in shapes)
    if method == "flash-attn":
        pytest.importorskip("flash_attn")
        if frames.tokens > 1:
            pytest.skip("flash-attn has no mask for frames of several tokens")
    other = attention(query, key, value, frames, method=method)
    mine = attention(query, key, value, frames, method="triton")
    torch.testing.assert_close(mine, other, atol=2e-2, rtol=2e-2)


def test_a_step_of_kernels_gives_what_the_cpu_gives_and_fits_one_graph():
    host, model = WorldModel.from_pretrained(), WorldModel.from_pretrained(device="cuda")
    torch.manual_seed(0)
    action = torch.rand(4, 2) * 2.0 - 1.0
    with torch.no_grad():
        state, other = model.init_state(4), host.init_state(4)
        noise = (torch.zeros_like(other.latent_BCHW), torch.zeros_like(other.vector_BK))
        on_gpu = tuple(x.cuda() for x in noise)
        there = action.cuda()
        for _ in range(12):
            other, _ = host.imagine_step(other, action, noise=noise)
            state, _ = model.imagine_step(state, there, noise=on_gpu)
        torch.testing.assert_close(state.latent_BCHW.cpu(), other.latent_BCHW, atol=2e-3, rtol=2e-3)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            after, _ = model.imagine_step(state, there, noise=on_gpu)
        graph.replay()
        expected, _ = model.imagine_step(state, there, noise=on_gpu)
        torch.testing.assert_close(after.latent_BCHW, expected.latent_BCHW)


def test_the_benchmark_measures(tmp_path, capsys):
    bench_kernels(
        BenchKernelsConfig(out=tmp_path, json=True, batch=64, operations=("swiglu", "adaln"))
    )
    facts = json.loads(capsys.readouterr().out)
    assert all(row["measured_us"]["triton"] > 0.0 for row in facts["kernels"])
    assert facts["real_step"]["device"] == "cuda"
    assert facts["real_step"]["env_steps_per_s"] > 0.0
