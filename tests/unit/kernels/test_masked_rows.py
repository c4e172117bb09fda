import pytest
import torch
from torch import library

from dreamdrive.errors import KernelError
from dreamdrive.kernels import masked_rows as subject
from dreamdrive.kernels.masked_rows import masked_rows_
from support.kernels import DEVICE, plant

pytest.importorskip("triton")

SHAPES = [(5,), (4, 3), (1, 7), (3, 1030), (6, 2, 1, 5), (3, 0)]


def example(shape, dtype):
    generator = torch.Generator().manual_seed(len(shape))
    target = torch.randn(shape, generator=generator)
    source = torch.randn((2, *shape[1:]), generator=generator)
    mask = torch.rand(shape[0], generator=generator) < 0.5
    index = torch.randint(0, 2, (shape[0],), generator=generator)
    if not dtype.is_floating_point:
        target, source = 100.0 * target, 100.0 * source
    return [x.to(DEVICE) for x in (target.to(dtype), mask, source.to(dtype), index)]


def written(shape, dtype, backend):
    target, mask, source, index = example(shape, dtype)
    if backend == "reference":
        subject.reference([target], mask, [source], index)
    else:
        masked_rows_([target], mask, [source], index, backend=backend)
    return target


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_writes_the_same_rows_and_no_others(shape, dtype):
    expected = written(shape, dtype, "reference")
    target, mask, source, index = example(shape, dtype)
    for row in range(shape[0]):
        kept = target[row] if not mask[row] else source[index[row]]
        assert torch.equal(expected[row], kept)
    for backend in ("torch", "triton"):
        assert torch.equal(written(shape, dtype, backend), expected), backend


def test_several_tensors_are_written_at_once_and_none_where_the_mask_is_empty():
    first, _, source, index = example((4, 3), torch.float32)
    second, other = torch.zeros(4, 2), torch.ones(2, 2)
    before = first.clone()
    masked_rows_([first, second], torch.zeros(4, dtype=torch.bool), [source, other], index)
    assert torch.equal(first, before)
    assert not second.any()
    masked_rows_([first, second], torch.ones(4, dtype=torch.bool), [source, other], index)
    assert torch.equal(first, source[index])
    assert second.all()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("tl.load(mask_ptr + row) != 0", "tl.load(mask_ptr + row) == 0"),
        ("source * E + at", "row * 0 + at"),
        ("target_ptr + row * E + at", "target_ptr + at"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "masked_rows", right, wrong)
    shape = (8, 30)
    expected = written(shape, torch.float32, "reference")
    assert not torch.equal(written(shape, torch.float32, "triton"), expected)


def test_the_operator_is_registered_whole():
    target, mask, source, index = (x.cpu() for x in example((4, 3), torch.float32))
    library.opcheck(subject.masked_rows_op, ([target], mask, [source], index))


def test_what_does_not_fit_is_refused_in_words():
    mask, index = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.long)
    good = torch.zeros(2, 3)
    for target, source in (
        (good, torch.zeros(2, 4)),
        (good, torch.zeros(2, 3).double()),
        (torch.zeros(3, 3), good),
        (torch.zeros(3, 2).t(), good),
    ):
        with pytest.raises(KernelError, match="cannot be written"):
            masked_rows_([target], mask, [source], index)
    with pytest.raises(KernelError, match="1 targets and 0 sources"):
        masked_rows_([good], mask, [], index)
