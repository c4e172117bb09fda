"""Kernels compiled for GPUs that are not here take no more of them than they may."""

import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from dreamdrive.errors import KernelError, MissingExtraError
from dreamdrive.kernels import aot
from dreamdrive.kernels.aot import TARGETS, Usage, launches, over_budget, table
from dreamdrive.kernels.cases import Sizes

BUDGET = Path(__file__).parents[3] / "docs" / "results" / "kernels.toml"
ROW = Usage(
    kernel="a: b.c", capability=90, registers=40, stack_bytes=0, shared_bytes=512, num_warps=4
)


def budget(triton: str = "1.0"):
    allowed = {"capability": 90, "registers": 40, "stack_bytes": 0, "shared_bytes": 512}
    return {"triton": triton, "a: b.c": [allowed]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"registers": 41}, ["a: b.c, sm_90: registers 41, allowed 40"]),
        ({"stack_bytes": 8}, ["a: b.c, sm_90: stack_bytes 8, allowed 0"]),
        ({"shared_bytes": 1024}, ["a: b.c, sm_90: shared_bytes 1024, allowed 512"]),
        ({"capability": 80}, ["a: b.c, sm_80: has no budget"]),
        ({"kernel": "new"}, ["new, sm_90: has no budget"]),
    ],
)
def test_what_takes_more_than_it_may_is_said(change, words):
    assert over_budget([replace(ROW, **change)], budget(), "1.0") == words


def test_another_version_of_triton_may_take_a_quarter_more():
    assert not over_budget([replace(ROW, registers=50)], budget(), "2.0")
    assert over_budget([replace(ROW, registers=51)], budget(), "2.0")
    assert over_budget([replace(ROW, stack_bytes=1)], budget(), "2.0")


def hold_to_the_budget(names=(), targets=TARGETS):
    pytest.importorskip("triton")
    rows = table(names, targets)
    assert {row.capability for row in rows} == set(targets)
    committed = tomllib.loads(BUDGET.read_text())
    assert over_budget(rows, committed, metadata.version("triton")) == []
    return {row.kernel for row in rows}


def test_two_kernels_compile_within_their_budget():
    assert hold_to_the_budget(["lambda_return"], [100]) == {
        f"lambda_return: scan.{direction}_kernel{dtype}"
        for direction in ("forward", "backward")
        for dtype in ("", ", float32")
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_kernels_compile_within_their_budget():
    committed = tomllib.loads(BUDGET.read_text())
    assert hold_to_the_budget() == {name for name in committed if ": " in name}


def test_a_kernel_that_spills_is_caught():
    """The budget has no room for a spill where there is none."""
    committed = tomllib.loads(BUDGET.read_text())
    name = "conv3d_step: conv3d_step.kernel"
    allowed = next(x for x in committed[name] if x["capability"] == 80)
    assert allowed["stack_bytes"] == 0
    spills = Usage(
        kernel=name, capability=80, registers=168, stack_bytes=1592, shared_bytes=0, num_warps=4
    )
    assert "stack_bytes 1592, allowed 0" in over_budget([spills], committed, "x")[0]


def test_interpreted_kernels_cannot_be_compiled():
    pytest.importorskip("triton")
    with pytest.raises(KernelError, match="interpreted in this process"):
        next(launches(Sizes()))


def test_without_triton_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(aot, "TRITON_INSTALLED", False)
    with pytest.raises(MissingExtraError, match=r"dreamdrive\[triton\]"):
        table()


def test_what_does_not_compile_says_why(monkeypatch):
    monkeypatch.setattr(aot.sys, "executable", "/bin/false")
    with pytest.raises(KernelError, match="does not compile"):
        table()
