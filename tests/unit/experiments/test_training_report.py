"""What TensorBoard shows of a training, and the speed that is measured beside it."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dreamdrive.experiments import training_report
from dreamdrive.experiments.run import RunLog
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel
from dreamdrive.experiments.training_report import Speed, film, matmul_limit, sheet, training_cost
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


def shown_in(folder):
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0})
    events.Reload()
    return events


def test_the_cost_of_a_product_is_that_of_its_three_products():
    a = torch.ones(8, 16, requires_grad=True)
    b = torch.ones(16, 32, requires_grad=True)
    # Forward, and the gradient in each factor: 2 m n k each.
    assert training_cost(lambda: ((a @ b).sum(), 4)) == 3 * 2 * 8 * 16 * 32 / 4
    assert a.grad is not None


def test_the_share_is_what_the_frames_cost_over_the_limit(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(training_report.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(training_report, "matmul_limit", lambda device: 1e6)
    speed = Speed(torch.device("cpu"))
    a = torch.ones(10, 10, requires_grad=True)
    for _ in range(2):
        now[0] += 4.0
        speed.add(20)
        # A product of a matrix with itself: one forward, two in its gradient.
        found = speed.measure(lambda: ((a @ a).sum(), 10))
        assert found["frames_per_s"] == pytest.approx(5.0)
        assert found["matmul_share"] == pytest.approx(5.0 * 3 * 2000 / 10 / 1e6)


def test_the_limit_of_this_machine_is_positive():
    assert 1e8 < matmul_limit(torch.device("cpu")) < 1e14


def test_a_sheet_shows_clips_in_turn():
    clips = [torch.full((2, 3, 3, 4, 5), value) for value in (0.0, 1.0)]
    picture = sheet(clips)
    assert picture.shape == (2 * 2 * 4, 3 * 5, 3)
    assert [int(picture[4 * row, 0, 0]) for row in range(4)] == [0, 255, 0, 255]


def test_a_film_shows_clips_below_each_other_and_windows_aside():
    real = torch.zeros(2, 3, 3, 4, 5)
    real[1, 2] = 1.0
    frames = film([real, torch.full_like(real, 0.2)])
    assert frames.shape == (3, 8, 10, 3)
    assert frames[2, :4, 5:].min() == 255
    assert frames[2, :4, :5].max() == frames[1, :4].max() == 0
    assert np.unique(frames[:, 4:]).tolist() == [51]


def test_a_video_plays(tmp_path):
    clip = np.zeros((4, 6, 8, 3), np.uint8)
    clip[:] = np.array([0, 80, 160, 240], np.uint8)[:, None, None, None]
    with RunLog(tmp_path, "bake", 1) as log:
        log.log(1, {"loss": 1.0})
        log.video(1, "dream/video", clip, fps=5)
    (image,) = shown_in(tmp_path).Images("dream/video")
    gif = Image.open(io.BytesIO(image.encoded_image_string))
    assert (gif.format, gif.n_frames, gif.size, gif.info["duration"]) == ("GIF", 4, (8, 6), 200)
    gif.seek(2)
    assert abs(int(np.asarray(gif.convert("RGB"))[0, 0, 0]) - 160) < 8


def test_pictures_and_histograms_are_where_tensorboard_looks(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    with RunLog(tmp_path, "bake", 2) as log:
        log.log(1, {"loss": 1.0})
        log.picture(1, "dream", picture)
        log.histograms(1, {"weight": torch.linspace(-1.0, 1.0, 100)})
        log.log(2, {"loss": 0.5})
    events = shown_in(tmp_path)
    (image,) = events.Images("dream")
    assert (image.step, image.width, image.height) == (1, 6, 4)
    (histogram,) = events.Histograms("weight")
    assert histogram.histogram_value.num == 100
    assert [event.value for event in events.Scalars("loss")] == [0.75]


def test_a_training_shows_its_dream_its_weights_and_its_speed(tmp_path):
    tiny_model().save_pretrained(tmp_path / "world")
    episodes = save_tiny_episodes(tmp_path / "episodes", count=2, steps=12)
    config = TrainWorldModelConfig(
        data=(episodes,), init=tmp_path / "world", out=tmp_path / "run", steps=3, batch_size=2,
        window=4, context=2, horizon=3, save_every=2, fine_tune=True,
    )  # fmt: skip
    train_worldmodel(config)
    events = shown_in(tmp_path / "run")
    assert [image.step for image in events.Images("dream")] == [2, 3]
    assert [image.step for image in events.Images("dream/video")] == [2, 3]
    names = events.Tags()["histograms"]
    assert {"latent/real", "latent/dream"} <= set(names)
    assert any(name.startswith("dynamics/") for name in names)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    speeds = [json.loads(line) for line in lines if "matmul_share" in line]
    assert [line["step"] for line in speeds] == [2, 3]
    assert all(line["frames_per_s"] > 0.0 and line["matmul_share"] > 0.0 for line in speeds)
