import pytest

from dreamdrive.kernels import roofline
from dreamdrive.kernels.cases import Sizes, cases
from dreamdrive.kernels.roofline import GPUS, Machine, bound, bound_of, measure_this_machine

MACHINE = Machine(
    name="by hand", bytes_per_s=100.0, matrix_flops_per_s=1000.0, vector_flops_per_s=10.0,
    launch_s=0.5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("num_bytes", "num_flops", "matrix", "seconds", "limit"),
    [
        (200.0, 10.0, False, 2.5, "memory"),
        (200.0, 50.0, False, 5.5, "arithmetic"),
        (200.0, 50.0, True, 2.5, "memory"),
        (0.0, 3000.0, True, 3.5, "arithmetic"),
        (10.0, 1.0, False, 0.6, "launch"),
    ],
)
def test_bounds_by_hand(num_bytes, num_flops, matrix, seconds, limit):
    found = bound(MACHINE, num_bytes, num_flops, matrix=matrix)
    assert found.seconds == pytest.approx(seconds)
    assert found.limit == limit


def test_newer_gpus_are_bound_no_higher_and_memory_binds_what_is_elementwise():
    for case in cases(Sizes(batch=4096)):
        times = [bound_of(GPUS[name], case).seconds for name in ("A100", "H100", "H200", "B200")]
        assert times == sorted(times, reverse=True)
        if case.name in ("adaln", "gated_residual", "swiglu"):
            assert bound_of(GPUS["H100"], case).limit == "memory"
        if case.backward_bytes:
            assert bound_of(GPUS["H100"], case, backward=True).seconds > 0.0


def test_this_machine_is_measured(monkeypatch):
    clock = iter(x * 0.25 for x in range(10_000))
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: next(clock))
    found = measure_this_machine(1.0)
    assert found.measured
    # Every call takes a quarter of a second by this clock.
    assert found.matrix_flops_per_s == pytest.approx(4 * 2 * 1024**3)
    assert found.bytes_per_s == pytest.approx(4 * 2 * 2**25 * 4)
