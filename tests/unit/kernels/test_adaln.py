import pytest
import torch

from dreamdrive.errors import MissingExtraError
from dreamdrive.kernels import dispatch, reference
from dreamdrive.kernels.adaln import _adaln, adaln_modulate

pytest.importorskip("triton")

SHAPES = [(1, 1, 1), (2, 3, 7), (1, 5, 128), (3, 2, 130), (0, 4, 16)]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def inputs(shape: tuple[int, int, int], dtype: torch.dtype) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    G, _, D = shape
    sizes = [shape, (G, 1, D), (G, 1, D)]
    return [torch.randn(s, generator=g).to(DEVICE, dtype).requires_grad_() for s in sizes]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_equals_its_reference_forward_and_backward(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    ours, theirs = inputs(shape, dtype), inputs(shape, dtype)
    out = adaln_modulate(*ours, backend="triton")
    expected = reference.adaln_modulate(*theirs)
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(out, expected, atol=tolerance, rtol=tolerance)
    weight = torch.linspace(-1.0, 1.0, out.numel(), device=DEVICE).view(shape).to(dtype)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(mine.grad, other.grad, atol=10 * tolerance, rtol=tolerance)


def test_the_tolerance_catches_a_wrong_result() -> None:
    x, shift, scale = (t.detach() for t in inputs((2, 3, 7), torch.bfloat16))
    wrong = adaln_modulate(x, shift, scale * 1.1, backend="triton")
    with pytest.raises(AssertionError):
        torch.testing.assert_close(
            wrong, reference.adaln_modulate(x, shift, scale),
            atol=TOLERANCE[torch.bfloat16], rtol=TOLERANCE[torch.bfloat16],
        )  # fmt: skip


def test_reference_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0]])
    out = reference.adaln_modulate(x, torch.tensor([[10.0, 20.0]]), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(out, torch.tensor([[8.0, 21.0]]), atol=1e-4, rtol=1e-4)


def test_the_operator_is_registered_whole() -> None:
    x, shift, scale = inputs((2, 3, 8), torch.float32)
    rows, groups = x.detach().reshape(6, 8), [t.detach().reshape(2, 8) for t in (shift, scale)]
    arguments = (rows.requires_grad_(), *groups, 3)
    torch.library.opcheck(
        _adaln,
        arguments,
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


def test_an_unknown_or_missing_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x, shift, scale = inputs((1, 1, 4), torch.float32)
    with pytest.raises(ValueError, match="backend must be"):
        adaln_modulate(x, shift, scale, backend="cuda")  # type: ignore[arg-type]
    monkeypatch.setattr(dispatch.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"dreamdrive\[triton\]"):
        adaln_modulate(x, shift, scale, backend="triton")


def test_one_row_of_modulation_a_group() -> None:
    x, _, scale = inputs((2, 3, 4), torch.float32)
    with pytest.raises(ValueError, match="shift must have one row per group"):
        adaln_modulate(x, torch.zeros(2, 3, 4), scale, backend="triton")


@pytest.mark.parametrize("capability", [80, 90, 100])
def test_kernels_compile_for_gpus_that_are_not_here(capability: int) -> None:
    import subprocess
    import sys

    code = f"""
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from dreamdrive.kernels import adaln_triton as k
target = GPUTarget("cuda", {capability}, 32)
names = ["x_ptr", "shift_ptr", "scale_ptr", "out_ptr"]
signature = {{n: "*fp32" for n in names}}
signature |= {{"N": "i32", "D": "i32", "eps": "fp32", "BLOCK": "constexpr"}}
done = triton.compile(ASTSource(k.forward_kernel, signature, {{"BLOCK": 128}}), target=target)
assert len(done.asm["cubin"]) > 1000
"""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-1500:]
