import numpy as np
import pytest

from dreamdrive.driving.causes import CAUSE_INDEX, CAUSES, TERMINATION_CAUSES, TRUNCATION_CAUSES
from dreamdrive.driving.palette import CLASS_INDEX, CLASSES, COLOURS, PALETTE, classify


def test_every_colour_is_its_own_class() -> None:
    image = COLOURS[None]
    assert classify(image).tolist() == [list(range(len(CLASSES)))]


@pytest.mark.parametrize("name", CLASSES)
def test_a_blurred_colour_keeps_its_class(name: str) -> None:
    noise = np.random.default_rng(0).integers(-9, 10, (64, 3))
    image = np.clip(np.array(PALETTE[name]) + noise, 0, 255).astype(np.uint8)
    assert (classify(image) == CLASS_INDEX[name]).mean() > 0.95


def test_leading_axes_are_kept() -> None:
    image = np.zeros((2, 3, 4, 5, 3), np.uint8)
    found = classify(image)
    assert found.shape == (2, 3, 4, 5)
    assert found.dtype == np.uint8
    assert (found == CLASS_INDEX["outside"]).all()


def test_causes_are_numbered_without_overlap() -> None:
    assert CAUSES[0] == ""
    assert len(set(CAUSES)) == len(CAUSES) == 1 + len(TERMINATION_CAUSES) + len(TRUNCATION_CAUSES)
    assert not set(TERMINATION_CAUSES) & set(TRUNCATION_CAUSES)
    assert [CAUSE_INDEX[name] for name in CAUSES] == list(range(len(CAUSES)))
    assert set(TRUNCATION_CAUSES) >= {"time_limit", "route_finished"}, "time-outs are no death"
