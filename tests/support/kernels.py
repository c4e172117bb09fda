"""How kernels are held to their meaning: values, gradients, and planted faults that must show."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

DTYPES = (torch.float32, torch.bfloat16)

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.6e-2}
"""Largest error, as a share of the largest value of the reference (at least 1)."""


def draw(
    seed: int, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32, grad: bool = True
) -> list[Tensor]:
    """Returns Gaussian tensors that are exact in `dtype`."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=generator).to(DEVICE, dtype) for shape in shapes]
    return [x.requires_grad_() for x in made] if grad else made


def close(mine: Tensor, theirs: Tensor, tolerance: float, what: str = "output") -> None:
    """Raises an AssertionError where two tensors differ in shape, or by more than the tolerance."""
    assert mine.shape == theirs.shape, f"{what}: {tuple(mine.shape)}, not {tuple(theirs.shape)}"
    if not theirs.numel():
        return
    mine, theirs = mine.detach().double(), theirs.detach().double()
    assert bool(mine.isfinite().all()), f"{what}: error, not finite"
    scale = max(1.0, float(theirs.abs().max()))
    error = float((mine - theirs).abs().max()) / scale
    assert error <= tolerance, f"{what}: error {error:.3g} of the scale, above {tolerance:.3g}"


def parity(
    kernel: Callable[..., Tensor | tuple[Tensor, ...]],
    reference: Callable[..., Tensor | tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    *,
    tolerance: float | None = None,
) -> None:
    """Holds a kernel to its reference: same outputs, dtypes, and gradients of every input.

    The reference runs in double precision on the same values, so that what is measured is the
    kernel's error alone.
    """
    dtype = inputs[0].dtype
    tolerance = TOLERANCE[dtype] if tolerance is None else tolerance
    mine = [x.detach().clone().requires_grad_(x.requires_grad) for x in inputs]
    theirs = [
        x.detach().double().requires_grad_(x.requires_grad) if x.is_floating_point() else x
        for x in inputs
    ]
    outs, expected = kernel(*mine), reference(*theirs)
    outs = (outs,) if isinstance(outs, Tensor) else outs
    expected = (expected,) if isinstance(expected, Tensor) else expected
    assert len(outs) == len(expected)
    for i, (out, other) in enumerate(zip(outs, expected, strict=True)):
        close(out, other, tolerance, f"output {i}")
    if not any(x.requires_grad for x in inputs):
        return
    assert outs[0].dtype == dtype
    weights = draw(7, *(tuple(out.shape) for out in outs), grad=False)
    loss = sum((o.double() * w.double()).sum() for o, w in zip(outs, weights, strict=True))
    other_loss = sum((o * w.double()).sum() for o, w in zip(expected, weights, strict=True))
    loss.backward()
    other_loss.backward()
    for i, (x, y) in enumerate(zip(mine, theirs, strict=True)):
        if x.requires_grad:
            assert x.grad is not None
            assert x.grad.dtype == x.dtype
            # A result that is empty depends on nothing.
            expected_grad = torch.zeros_like(y) if y.grad is None else y.grad
            close(x.grad, expected_grad, 3.0 * tolerance, f"gradient of input {i}")


def plant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operation: str, right: str, wrong: str
) -> None:
    """Puts a wrong kernel in the place of an operation's right one.

    Args:
        monkeypatch: Undoes it.
        tmp_path: Where the wrong module is written.
        operation: Name of the file in `kernels/device`.
        right: What the module's source says, exactly once.
        wrong: What it says instead.
    """
    name = f"dreamdrive.kernels.device.{operation}"
    package = importlib.import_module("dreamdrive.kernels.device")
    source = Path(importlib.import_module(name).__file__ or "").read_text()
    assert source.count(right) == 1, f"{right!r} stands {source.count(right)} times"
    path = tmp_path / f"{operation}_wrong.py"
    path.write_text(source.replace(right, wrong))
    spec = importlib.util.spec_from_file_location(f"{operation}_wrong", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(package, operation, module)
