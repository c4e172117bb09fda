"""Dreams that go on between training steps: driven by what was recorded, of any age, and kept."""

import pytest
import torch

from dreamdrive.experiments.far_dreams import FarDreams
from dreamdrive.experiments.latent_table import LatentTable
from dreamdrive.worldmodel.adversary import AdversaryConfig
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.packed import has_packed_products
from dreamdrive.worldmodel.rolling import OwnRolling, build_rolling
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model

CONFIG = AdversaryConfig(dreams=8, longest=40, between=2, judged=2)
FRAMES = CONFIG.between + CONFIG.judged
CONTEXT = 3


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def data(tmp_path_factory, model):
    folder = save_tiny_episodes(tmp_path_factory.mktemp("episodes"), steps=16)
    return LatentTable(model, FrameTable.load(EpisodeStore(folder), model.config.causes))


def test_dreams_go_on_where_they_stopped_and_outlive_episodes(model, data):
    dreams, generator = FarDreams(model, CONFIG, CONTEXT), torch.Generator().manual_seed(0)
    oldest = 0
    for _ in range(20):
        latent, age = dreams.latent, dreams.age
        real, dreamed, facts = dreams.go_on(model, data, generator, OwnRolling(model))
        went_on = dreams.age == age + FRAMES
        is_new = dreams.age == FRAMES
        assert (went_on | is_new).all()
        last = data.latent_N[dreams.row].float()
        torch.testing.assert_close(real.latent[:, -1], last)
        torch.testing.assert_close(real.action[:, -1], data.table.action_NA[dreams.row])
        assert torch.equal(dreamed.latent[:, -1].detach(), dreams.latent)
        assert not torch.equal(dreams.latent, latent)
        assert facts["dream_age"] == pytest.approx(float(dreams.age.float().mean()))
        oldest = max(oldest, int(dreams.age.max()))
        first = data.first_N[dreams.row - CONFIG.judged]
        assert torch.equal(first, data.first_N[dreams.row]), "a window spans two episodes"
    assert oldest > 16, "no dream outlived its episode"


def test_a_dream_is_driven_as_the_recorded_moment_that_is_most_like_it(model, data):
    dreams, generator = FarDreams(model, CONFIG, CONTEXT), torch.Generator().manual_seed(0)
    dreams.go_on(model, data, generator, OwnRolling(model))
    dreams.left.fill_(40)
    vector = dreams.vector
    dreams.go_on(model, data, generator, OwnRolling(model))
    # So many are drawn of so few that all are among them.
    every = data.table.windows(10_000, FRAMES + 1, generator)[:, 0].unique()
    distance = torch.cdist(vector, data.vector_N[every])
    assert torch.equal(dreams.row - FRAMES, every[distance.argmin(1)])


def test_a_dream_is_what_the_model_dreams_under_the_recorded_actions(model, data, monkeypatch):
    config = AdversaryConfig(dreams=2, longest=40, between=0, judged=3)
    dreams, generator = FarDreams(model, config, CONTEXT), torch.Generator().manual_seed(0)
    monkeypatch.setattr("torch.randn", lambda shape, **_: torch.zeros(shape))
    _, dreamed, _ = dreams.go_on(model, data, generator, OwnRolling(model))
    start = dreams.row - 3
    memory = model.dynamics.init_memory(2, model.device)
    batch = data.batch(start[:, None] + torch.arange(1 - CONTEXT, 4))
    latent, vector = batch.latent[:, 0], batch.vector[:, 0]
    found = []
    for t in range(1, CONTEXT + 3):
        noise = (torch.zeros_like(latent), torch.zeros_like(vector))
        step = model.dynamics.step(latent, vector, batch.action[:, t], memory, noise)
        memory, is_known = step.memory, t < CONTEXT
        latent = batch.latent[:, t] if is_known else step.latent
        vector = batch.vector[:, t] if is_known else step.vector
        if not is_known:
            found.append(latent)
    torch.testing.assert_close(dreamed.latent, torch.stack(found, 1), atol=1e-4, rtol=0.0)
    other = data.batch(start.flip(0)[:, None] + torch.arange(1, 4)).action
    torch.testing.assert_close(dreamed.action, batch.action[:, CONTEXT:])
    assert not torch.equal(dreamed.action, other)


@pytest.mark.parametrize("is_fused", [False, True])
def test_the_gradient_goes_through_the_judged_frames_alone(data, is_fused):
    if is_fused and not has_packed_products():
        pytest.skip("PyTorch without oneDNN")
    model = tiny_model().requires_grad_(True)
    model.tokenizer.requires_grad_(False)
    rolling = build_rolling(model, CONFIG.dreams, FRAMES, is_fused=is_fused)
    dreams, generator = FarDreams(model, CONFIG, CONTEXT), torch.Generator().manual_seed(0)
    for _ in range(2):  # The second would reach into the first's graph if it were kept.
        _, dreamed, _ = dreams.go_on(model, data, generator, rolling)
        (dreamed.latent.square().mean() + dreamed.vector.square().mean()).backward()
    assert dreamed.latent.shape[1] == CONFIG.judged
    assert not any(buffer.requires_grad for buffer in dreams.buffers())
    assert any(p.grad is not None and p.grad.any() for p in model.dynamics.parameters())


def test_a_dream_that_the_model_ends_is_begun_anew(model, data):
    ends = tiny_model()
    for member in ends.heads.members:
        member[-1].bias.data[-1] += 50.0
    for dreamer, expected in ((model, False), (ends, True)):
        dreams, generator = FarDreams(dreamer, CONFIG, CONTEXT), torch.Generator().manual_seed(0)
        dreams.go_on(dreamer, data, generator, OwnRolling(dreamer))
        dreams.left.clamp_(min=FRAMES if expected else 3 * FRAMES)
        dreams.go_on(dreamer, data, generator, OwnRolling(dreamer))
        assert bool((dreams.left <= 0).all()) == expected


def test_a_dream_has_ended_when_it_has_more_likely_than_not(model, data):
    doubtful = tiny_model()
    for member in doubtful.heads.members:
        member[-1].bias.data[-1] += 2.0
    dreams, generator = FarDreams(doubtful, CONFIG, CONTEXT), torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(3):
        dreams.left.clamp_(min=40)
        before = torch.where(dreams.left > 0, dreams.alive, 1.0)
        dreams.go_on(doubtful, data, generator, OwnRolling(doubtful))
        assert (dreams.alive < before).all()
        assert torch.equal(dreams.left <= 0, dreams.alive < 0.5)
        seen |= set((dreams.left <= 0).tolist())
        dreams.left.clamp_(min=1)
    assert seen == {False, True}


def test_some_dreams_stay_young(data):
    model = tiny_model()  # One that foresees no end.
    for member in model.heads.members:
        member[-1].bias.data[-len(model.config.causes) :] -= 20.0
    config = AdversaryConfig(dreams=16, longest=200, young=6, young_share=0.5, between=2, judged=2)
    dreams, generator = FarDreams(model, config, CONTEXT), torch.Generator().manual_seed(0)
    ages = []
    for _ in range(15):
        dreams.go_on(model, data, generator, OwnRolling(model))
        ages.append(dreams.age)
    age = torch.stack(ages)
    # A life of 6 frames ends within the step, of 4, that it does not outlast.
    assert int(age[:, :8].max()) <= 8
    assert float(age[-1, 8:].float().mean()) > 20.0


def test_dreams_that_were_kept_go_on_as_those_that_never_stopped(model, data):
    dreams, generator = FarDreams(model, CONFIG, CONTEXT), torch.Generator().manual_seed(0)
    dreams.go_on(model, data, generator, OwnRolling(model))
    kept = {name: x.clone() for name, x in dreams.state_dict().items()}
    drawn = generator.get_state()
    expected = dreams.go_on(model, data, generator, OwnRolling(model))[1].latent
    again = FarDreams(model, CONFIG, CONTEXT)
    again.load_state_dict(kept)
    generator.set_state(drawn)
    assert torch.equal(again.go_on(model, data, generator, OwnRolling(model))[1].latent, expected)


@pytest.mark.skipif(not has_packed_products(), reason="PyTorch without oneDNN")
def test_fused_dreams_go_on_as_the_model_s_own(model, data):
    found = []
    for is_fused in (False, True):
        dreams, generator = FarDreams(model, CONFIG, CONTEXT), torch.Generator().manual_seed(0)
        rolling = build_rolling(model, CONFIG.dreams, FRAMES, is_fused=is_fused)
        clips = [dreams.go_on(model, data, generator, rolling)[1].detach() for _ in range(6)]
        found.append([torch.stack(x) for x in zip(*clips, strict=True)])
        assert int(dreams.age.max()) >= 2 * FRAMES
    for own, fused in zip(*found, strict=True):
        torch.testing.assert_close(fused, own, atol=1e-4, rtol=1e-3)
