"""What is measured of a dream on demand, by name."""

from collections.abc import Callable
from typing import Literal

from dreamdrive.experiments.truth_doubt import doubt_truth
from dreamdrive.experiments.truth_events import events_truth
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.experiments.truth_pictures import far_picture_truth
from dreamdrive.experiments.truth_steering import steering_truth
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

Part = Literal["pictures", "steering", "events", "doubt"]
Measure = Callable[[WorldModel, FrameTable, MeasureConfig], dict[str, float]]

PARTS: dict[Part, Measure] = {
    "pictures": far_picture_truth,
    "steering": steering_truth,
    "events": events_truth,
    "doubt": doubt_truth,
}
"""The functions, each of which says what it returns."""
