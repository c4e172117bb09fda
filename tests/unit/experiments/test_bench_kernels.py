import json
import tomllib

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.experiments import bench_kernels as subject
from dreamdrive.experiments.bench_kernels import (
    BenchKernelsConfig,
    bench_kernels,
    hold,
    real_line,
    tables,
)
from dreamdrive.experiments.kernel_results import budget, page
from dreamdrive.experiments.step_roofline import kernel_sizes, step_bound, step_work
from dreamdrive.kernels.aot import Usage
from dreamdrive.kernels.cases import Sizes, cases
from dreamdrive.kernels.roofline import GPUS
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.presets import PRESETS

USAGE = Usage(
    kernel="swiglu: swiglu.forward_kernel", capability=90, registers=32, stack_bytes=0,
    shared_bytes=0, num_warps=4,
)  # fmt: skip


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return BenchKernelsConfig(out=tmp_path, batch=16, seconds=0.01)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch": 0}, "positive"),
        ({"seconds": 0.0}, "positive"),
        ({"operations": ("adaln", "coffee")}, "no operation 'coffee'"),
    ],
)
def test_impossible_configs_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        BenchKernelsConfig(**values)


def test_without_a_gpu_nothing_is_measured_and_every_bound_is_called_a_prediction(config):
    path = bench_kernels(config)
    assert path is not None
    facts = json.loads(path.read_text())
    assert facts["gpu"] is None
    assert {row["kernel"] for row in facts["kernels"]} == {case.name for case in cases(Sizes())}
    assert all(row["measured_us"] is None for row in facts["kernels"])
    assert all("prediction" in row["bound_is"] for row in facts["kernels"])
    assert all("prediction" in row["is"] for row in facts["steps"])
    assert [row["machine"] for row in facts["steps"]][:8:2] == list(GPUS)
    assert {row["preset"] for row in facts["steps"]} == set(PRESETS)
    real = facts["real_step"]
    assert real["env_steps_per_s"] == pytest.approx(16e6 / real["measured_us"])
    assert f"{real['bound_us'] / real['measured_us']:.0%} of that" in real_line(real)
    assert set(tables(facts)[0].columns[-1].cells) == {"no GPU"}


def test_json_is_all_that_is_printed(config, capsys):
    config = BenchKernelsConfig(
        out=config.out, batch=2, seconds=0.01, json=True, operations=("swiglu",)
    )
    assert bench_kernels(config) is None
    facts = json.loads(capsys.readouterr().out)
    assert [row["direction"] for row in facts["kernels"]] == ["forward", "backward"]


def test_the_page_says_that_nothing_was_measured_and_the_budget_can_be_read(config):
    facts = subject.gather(config)
    facts["compiled"] = [subject.asdict(USAGE)]
    facts["versions"]["triton"] = "3.9.0"
    text = page(facts | {"real_line": "27 µs"})
    assert "no time on this page was measured on one" in text
    assert "measured on this CPU: 27 µs" in text
    assert "| swiglu: swiglu.forward_kernel | 32 reg, 0 B, 0.0 KiB, 4 w |" in text
    read = tomllib.loads(budget([USAGE], "3.9.0", "abc", "2026-11-26"))
    assert read["triton"] == "3.9.0"
    assert read[USAGE.kernel] == [
        {"capability": 90, "registers": 32, "stack_bytes": 0, "shared_bytes": 0, "num_warps": 4}
    ]
    assert [table.title for table in tables(facts)][2] == "Compiled ahead of time"


def test_measured_times_are_shown_beside_the_bounds(config):
    facts = subject.gather(config)
    facts["kernels"][0]["measured_us"] = {"triton": 7.25, "liger": "not installed"}
    cells = list(tables(facts)[0].columns[-1].cells)
    assert cells[0] == "triton 7.2, liger: not installed"
    facts["gpu"] = "An H100"
    assert "Measured on An H100." in page(facts | {"real_line": ""})


def test_a_kernel_that_is_wrong_is_not_timed():
    case = next(c for c in cases(Sizes(batch=2), torch.float32, "cpu") if c.name == "swiglu")
    hold(case)
    wrong = subject.Case(
        name="wrong", num_differentiated=0, num_bytes=1, num_flops=1, inputs=case.inputs,
        call=lambda x, backend: x * (1.1 if backend == "triton" else 1.0),
    )  # fmt: skip
    with pytest.raises(DreamdriveError, match="'wrong' is wrong here"):
        hold(wrong)


def test_a_steps_matrix_products_are_those_that_the_model_computes():
    """The list of operations misses none and invents none: FLOPs agree to the last one."""
    model, B = WorldModel.from_pretrained(), 3
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.imagine_step(model.init_state(B), torch.zeros(B, 2))
    counted = counter.get_flop_counts()["Global"]
    products = sum(flops for op, flops in counted.items() if "mm" in str(op))
    work = step_work(PRESETS["cpu"], B)
    mine = sum(
        item.times * item.num_flops
        for item in work
        if item.matrix and "attention," not in item.name
    )
    assert mine == products


def test_a_steps_bound_adds_up():
    work = step_work(PRESETS["cpu"], 64)
    found = step_bound(GPUS["H100"], work, 64)
    assert found.seconds == pytest.approx(sum(found.shares.values()))
    assert found.steps_per_s == pytest.approx(64 / found.seconds)
    copied = step_bound(GPUS["H100"], step_work(PRESETS["cpu"], 64, ring_in_place=False), 64)
    assert copied.num_bytes > found.num_bytes
    nano = step_bound(GPUS["H100"], step_work(PRESETS["nano"], 64), 64)
    assert nano.seconds > found.seconds
    assert kernel_sizes(PRESETS["nano"], 1).tokens == 66
