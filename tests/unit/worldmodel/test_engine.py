"""Every way to compute a step gives what the model gives; what cannot run is said."""

import copy
import dataclasses
import gc
import json
import logging

import numpy as np
import pytest
import torch

from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError, KernelError
from dreamdrive.kernels import processor, processor_layout, processor_space
from dreamdrive.worldmodel import engine as subject
from dreamdrive.worldmodel.engine import (
    build_decode,
    build_step,
    computed_by,
    fastest_engine,
    measure_engines,
    remember,
)
from dreamdrive.worldmodel.fused import FusedStep
from dreamdrive.worldmodel.fused_decode import FusedDecode
from dreamdrive.worldmodel.memory import MemoryConfig
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import _KEPT, has_packed_products, packed
from support.lively import lively
from support.tiny_world import tiny_contexts, tiny_model

pytestmark = pytest.mark.skipif(not has_packed_products(), reason="PyTorch without oneDNN")


def largest_gap(model: WorldModel, step, *, num_steps: int = 1, batch: int = 3) -> float:
    """Returns the largest difference to the model over more frames than the ring holds."""
    generator = torch.Generator().manual_seed(1)
    mine = theirs = model.init_state(batch)
    mine, gap = mine.clone(), 0.0
    with torch.no_grad():
        for _ in range(7):
            action = torch.rand(batch, 2, generator=generator) * 2.0 - 1.0
            noise = (
                torch.randn(mine.latent_BCHW.shape, generator=generator),
                torch.randn(mine.vector_BK.shape, generator=generator),
            )
            mine, seen = step(mine, action, noise=noise, num_steps=num_steps, in_place=True)
            theirs, right = model.imagine_step(theirs, action, noise=noise, num_steps=num_steps)
            for a, b in zip((*seen, *mine.leaves()), (*right, *theirs.leaves()), strict=True):
                assert a.shape == b.shape
                scale = max(1.0, float(b.abs().max()))
                gap = max(gap, float((a - b).abs().max()) / scale)
    return gap


@pytest.mark.parametrize("num_steps", [1, 4])
@pytest.mark.parametrize(
    "config",
    [
        {}, {"has_step_size": True}, {"has_null_action": True}, {"patch": 1, "time_every": 3},
        {"memory": MemoryConfig(num_slots=4, slot_width=8, controller_width=8)},
        {"num_key_heads": 4, "window": 1},
    ],
)  # fmt: skip
def test_the_fused_step_is_the_models_step(config, num_steps):
    model = lively(**config)
    assert largest_gap(model, FusedStep(model, 3), num_steps=num_steps) < 2e-5


def test_in_16_bits_it_is_near_and_not_the_same():
    model = lively()
    assert 1e-5 < largest_gap(model, FusedStep(model, 3, "bfloat16")) < 0.2


def test_it_leaves_the_state_before_whole_unless_it_may_write_there():
    model = lively()
    step, state = FusedStep(model, 2), model.init_state(2)
    noise = (torch.ones_like(state.latent_BCHW), torch.ones_like(state.vector_BK))
    state, _ = step(state, torch.zeros(2, 2), noise=noise)
    kept = state.clone()
    first, _ = step(state, torch.ones(2, 2), noise=noise)
    for a, b in zip(state.leaves(), kept.leaves(), strict=True):
        assert torch.equal(a, b)
    second, _ = step(state, torch.ones(2, 2), noise=noise, in_place=True)
    assert second.memory.key_BLNGWP.data_ptr() == state.memory.key_BLNGWP.data_ptr()
    for a, b in zip(first.leaves(), second.leaves(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("loops", "name", "wrong"),
    [
        (processor, "attend_ring", lambda *x: None),
        (processor, "gated_unit", lambda gate_up, out: out.fill(0.0)),
        (processor, "add_gated", lambda x, branch, modulation, bias, which: None),
        (processor_space, "softmax_of_frames", lambda score: score.fill(1.0 / score.shape[3])),
        (processor_space, "to_rows", lambda read, out: out.fill(0.0)),
    ],
)
def test_a_wrong_loop_is_noticed(monkeypatch, loops, name, wrong):
    model = lively()
    monkeypatch.setattr(loops, name, wrong)
    assert largest_gap(model, FusedStep(model, 3)) > 1e-3


def test_the_exponential_is_one():
    x = np.linspace(-80.0, 80.0, 4001, dtype=np.float32)
    found = np.array([processor.exponential(value) for value in x], np.float64)
    assert np.abs(found / np.exp(x.astype(np.float64)) - 1.0).max() < 1e-5
    assert processor.exponential(np.float32(-1e9)) < 1e-37


@pytest.mark.parametrize("how", [{}, {"memory": MemoryConfig(num_slots=4, slot_width=8)}])
def test_the_fused_step_takes_in_real_frames_as_the_model_does(how):
    model, generator = lively(**how), torch.Generator().manual_seed(0)
    step, mine = FusedStep(model, 2), model.init_state(2)
    theirs = mine.clone()
    for t in range(4):
        latent = torch.randn(mine.latent_BCHW.shape, generator=generator)
        action = torch.rand(2, 2, generator=generator) if t else None
        given = latent, torch.randn(mine.vector_BK.shape, generator=generator), action
        with torch.no_grad():
            mine = model.observe_latent(mine, *given, step)
            theirs = model.observe_latent(theirs, *given)
    for a, b in zip(mine.leaves(), theirs.leaves(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=0.0)
    ring = getattr(theirs.memory, "ring", theirs.memory)
    assert ring.count_B.tolist() == [3, 3]
    assert float(ring.key_BLNGWP.abs().max()) > 0.1


def test_a_model_that_an_engine_computes_dreams_and_shows_what_the_model_does():
    model = lively()
    made = computed_by(model, "fused")
    for batch in (2, 3):
        told = []
        for dreamer in (model, made):
            state, generator = model.init_state(batch), torch.Generator().manual_seed(0)
            with torch.no_grad():
                for _ in range(2):
                    state, seen = dreamer.imagine_step(
                        state, torch.ones(batch, 2), generator=generator
                    )
                    image, state = dreamer.decode_step(state)
            told.append((image, seen.latent_BCHW, seen.reward_B, state.vector_BK))
        for mine, theirs in zip(*told, strict=True):
            assert torch.allclose(mine, theirs, atol=2e-5)
            assert not torch.equal(mine, theirs)
    with pytest.raises(ConfigError, match="no engine"):
        computed_by(model, "turbo")


def test_a_batch_of_another_size_is_refused():
    model = lively()
    state = model.init_state(2)
    noise = (torch.zeros_like(state.latent_BCHW), torch.zeros_like(state.vector_BK))
    with pytest.raises(ConfigError, match="made for 3 dreams, not for 2"):
        FusedStep(model, 3)(state, torch.zeros(2, 2), noise=noise)


def test_packed_weights_give_the_same_dream_and_the_same_gradients():
    model = lively()
    fast = packed(model)
    assert largest_gap(model, fast.imagine_step) < 1e-5
    gradients = []
    for one in (model, fast):
        action = torch.full((2, 2), 0.1, requires_grad=True)
        state = one.init_state(2)
        noise = (torch.ones_like(state.latent_BCHW), torch.ones_like(state.vector_BK))
        for _ in range(3):
            state, seen = one.imagine_step(state, action, noise=noise)
        loss = seen.reward_B.sum() + seen.latent_BCHW.square().sum()
        gradients.append(torch.autograd.grad(loss, action)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
    assert gradients[0].abs().max() > 1e-3


def test_packed_weights_go_with_the_last_model_that_has_them():
    gc.collect()
    before = len(_KEPT)
    one = packed(lively())
    count = len(_KEPT) - before
    assert count > 10
    two = copy.deepcopy(one)
    del one
    gc.collect()
    assert len(_KEPT) - before == count
    assert largest_gap(lively(), two.imagine_step) < 1e-5
    del two
    gc.collect()
    assert len(_KEPT) == before


# --- which way -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (("turbo",), "There is no engine 'turbo'"),
        (("fused", "int3"), "'int3'"),
        (("eager", "bfloat16"), "'eager' has no bfloat16"),
    ],
)
def test_what_there_is_not_is_refused(how, words):
    with pytest.raises(ConfigError, match=words):
        build_step(lively(), 2, *how)


def test_a_way_that_cannot_run_says_why_and_nothing_else_runs_instead(monkeypatch):
    with pytest.raises(KernelError, match=r"written for transformers, not for .* recurrent"):
        build_step(lively("recurrent"), 2, "fused")
    guided = lively(has_null_action=True)
    guided.dynamics.guidance = 2.0
    with pytest.raises(KernelError, match="it has no guidance"):
        build_step(guided, 2, "fused")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(KernelError, match=r"no C\+\+ compiler"):
        build_step(lively(), 2, "compiled")
    monkeypatch.setattr(subject, "has_packed_products", lambda: False)
    with pytest.raises(KernelError, match="without oneDNN"):
        build_step(lively(), 2, "fused")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dreamdrive" / "engines.json"


def test_auto_is_eager_until_it_was_measured_and_then_the_fastest(cache, monkeypatch):
    model = lively()
    assert fastest_engine(model, 2) == "eager"
    assert build_step(model, 2) == model.imagine_step
    assert remember(model, 2, {"eager": 2e-3, "fused": 1e-3, "compiled": "no compiler"}) == cache
    assert fastest_engine(model, 2) == "fused"
    assert isinstance(build_step(model, 2), FusedStep)
    assert fastest_engine(model, 3) == "eager"
    assert fastest_engine(lively(window=4), 2) == "eager"
    remember(model, 2, {"eager": 1e-3, "fused": 2e-3})
    assert fastest_engine(model, 2) == "eager"
    assert fastest_engine(model, 2, "bfloat16") == "fused"
    monkeypatch.setattr(subject, "why_not", lambda model, engine: "")
    remember(model, 2, {"fused": 2e-3, "openvino": 1e-3}, "bfloat16")
    assert fastest_engine(model, 2, "bfloat16") == "openvino"
    assert fastest_engine(model, 2) == "eager"


def test_what_another_machine_measured_is_not_used_and_it_is_said(cache, caplog):
    model = lively()
    remember(model, 2, {"eager": 2e-3, "fused": 1e-3})
    kept = json.loads(cache.read_text())
    kept["machine"]["torch"] = "1.0"
    cache.write_text(json.dumps(kept))
    with caplog.at_level(logging.WARNING):
        assert fastest_engine(model, 2) == "eager"
    assert "run `dreamdrive bench engines` again" in caplog.text
    cache.write_text("{")
    assert fastest_engine(model, 2) == "eager"


def test_measuring_tells_the_time_of_each_way_or_why_there_is_none():
    times = measure_engines(lively("recurrent"), 2, ("eager", "fused"), seconds=0.05)
    assert times["eager"] > 0.0
    assert "written for transformers" in times["fused"]


def test_the_environment_dreams_the_same_with_another_engine():
    def drive(**how) -> list[np.ndarray]:
        env = DreamVectorEnv(
            3, tiny_model(), tiny_contexts(), termination="threshold", max_steps=6, **how
        )
        env.reset(seed=0)
        actions = np.random.default_rng(0).uniform(-1.0, 1.0, (9, 3, 2)).astype(np.float32)
        return [env.step(action)[0]["state"] for action in actions]

    plain, fused = drive(engine="eager"), drive(engine="fused")
    assert max(np.abs(a - b).max() for a, b in zip(plain, fused, strict=True)) < 1e-3


def largest_gap_of_pictures(model: WorldModel, precision: str = "float32") -> float:
    """Returns the largest difference to the model's pictures over frames of a stream."""
    show, generator = FusedDecode(model, 2, precision), torch.Generator().manual_seed(3)
    mine = theirs = model.init_state(2)
    gap = 0.0
    for _ in range(4):
        latent = torch.randn(mine.latent_BCHW.shape, generator=generator)
        image, mine = show(mine._replace(latent_BCHW=latent))
        right, theirs = model.decode_step(theirs._replace(latent_BCHW=latent))
        assert image.shape == right.shape
        assert float(right.std()) > 0.05
        gap = max(gap, float((image - right).abs().max()))
        gap = max(gap, float((mine.decoder_cache - theirs.decoder_cache).abs().max()))
    return gap


def test_the_fused_decoder_shows_the_same_picture():
    model = lively()
    assert largest_gap_of_pictures(model) < 2e-5
    assert 1e-4 < largest_gap_of_pictures(model, "bfloat16") < 0.1
    show = build_decode(model, FusedStep(model, 2))
    assert isinstance(show, FusedDecode)
    assert build_decode(model, model.imagine_step) == model.decode_step


@pytest.mark.parametrize(
    ("loops", "name", "wrong"),
    [
        (processor, "unit_silu", lambda x, scale, epsilon, out: out.fill(0.5)),
        (processor, "add_silu", lambda x, other: None),
        (processor_layout, "taps", lambda x, cache, out, kept: kept.fill(0.0)),
        (processor_layout, "spread", lambda x, factor, out: out.fill(0.0)),
    ],
)
def test_a_wrong_loop_of_the_decoder_is_noticed(monkeypatch, loops, name, wrong):
    monkeypatch.setattr(loops, name, wrong)
    assert largest_gap_of_pictures(lively()) > 1e-2


# --- branches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [{}, {"memory": MemoryConfig(num_slots=4, slot_width=8)}])
def test_branches_share_the_past_and_dream_as_copies_of_it_do(memory):
    """More steps than the ring holds, so that the past is read, left behind and written over."""
    model, branches = lively(**memory), 3
    generator = torch.Generator().manual_seed(2)

    def draw(rows: int) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        state = model.init_state(rows)
        shapes = ((rows, 2), state.latent_BCHW.shape, state.vector_BK.shape)
        action, *noise = (torch.randn(shape, generator=generator) for shape in shapes)
        return action.clamp(-1.0, 1.0), tuple(noise)

    with torch.no_grad():
        start = model.init_state(2)
        for _ in range(2):
            action, noise = draw(2)
            start, _ = model.imagine_step(start, action, noise=noise)
        kept = start.clone()
        copies = start.select(torch.arange(2).repeat_interleave(branches))
        plain, fused = start.fork(branches), start.fork(branches)
        step = FusedStep(model, 2 * branches)
        for _ in range(5):
            action, noise = draw(2 * branches)
            copies, right = model.imagine_step(copies, action, noise=noise)
            plain, same = model.imagine_step(plain, action, noise=noise, in_place=True)
            fused, near = step(fused, action, noise=noise, in_place=True)
            for a, b, c in zip(right, same, near, strict=True):
                assert torch.equal(a, b)
                torch.testing.assert_close(c, a, rtol=2e-5, atol=2e-5)
    for a, b in zip(start.leaves(), kept.leaves(), strict=True):
        assert torch.equal(a, b)


def test_a_fork_of_a_large_past_copies_none_of_it():
    state = lively().init_state(1)
    forked = state.fork(64)
    assert forked.memory.past.key_BLNGWP.data_ptr() == state.memory.key_BLNGWP.data_ptr()
    recurrent = lively("recurrent").init_state(2)
    recurrent.memory.hidden_BD[1] = 1.0
    assert recurrent.fork(2).memory.hidden_BD.mean(1).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_options_that_the_fused_way_lacks_are_named() -> None:
    sizes = dataclasses.replace(tiny_model().config.transformer, attention="dense", num_registers=1)
    model = WorldModel(dataclasses.replace(tiny_model().config, transformer=sizes)).eval()
    assert subject.why_not(model, "eager") == ""
    with pytest.raises(KernelError, match="default attention and num_registers of a transformer"):
        build_step(model, 2, "fused")
