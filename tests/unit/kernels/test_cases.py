from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamdrive import kernels
from dreamdrive.kernels.cases import Sizes, cases, size_of

SMALL = Sizes(
    batch=3, tokens=6, width=16, num_heads=2, num_key_heads=1, window=3, latent=(2, 2, 2),
    coarse_width=4, slots=4, slot_width=3, horizon=2,
)  # fmt: skip


def small(name: str):
    torch.manual_seed(0)
    return next(c for c in cases(SMALL, torch.float32, "cpu") if c.name == name)


NAMES = [case.name for case in cases(SMALL)]


def test_every_operation_is_a_case():
    folder = Path(kernels.__file__).parent / "device"
    operations = {path.stem.removesuffix("_backward") for path in folder.glob("*.py")}
    operations -= {"__init__", "tiles"}
    covered = {name.partition(",")[0].replace("lambda_return", "scan") for name in NAMES}
    assert covered == operations


@pytest.mark.parametrize("name", NAMES)
def test_kernel_and_meaning_agree_on_a_cases_inputs(name):
    pytest.importorskip("triton")
    case = small(name)
    found = []
    for backend in ("triton", "torch"):
        out = case.call(*case.inputs, backend=backend)
        found.append([out] if isinstance(out, Tensor) else list(out))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_moves_no_less_than_what_it_reads_and_writes_once(name):
    """Inputs that are there once and outputs; conditions of a few values may be left out."""
    case = small(name)
    out = case.call(*case.inputs, backend="torch")
    outs = [out] if isinstance(out, Tensor) else list(out)
    least = sum(size_of(x) for x in case.inputs if x.numel() > 32)
    assert case.num_bytes >= 0.9 * (least + size_of(outs[0]))
    assert case.num_bytes <= 2.0 * (size_of(*case.inputs) + size_of(*outs)) + 512


def test_figures_by_hand():
    swiglu, int8 = small("swiglu"), small("int8_linear")
    # 18 rows of 64 channels in, 32 out, four bytes each; an exponential is 10 FLOPs.
    assert swiglu.num_bytes == 18 * (64 + 32) * 4
    assert swiglu.num_flops == 18 * 32 * 14
    assert int8.num_bytes == 18 * 16 * 4 + 64 * 16 + 64 * 4 + 18 * 64 * 4
    assert int8.num_flops == 2 * 18 * 16 * 64


def test_without_data_inputs_take_no_memory():
    big = cases(Sizes(batch=1_000_000))
    assert all(x.is_meta for case in big for x in case.inputs)
    assert big[0].num_bytes > 10**9
