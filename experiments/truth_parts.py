"""What is measured of a dream on demand, by name."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

from dreamdrive.agents.networks import Actor
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.truth_averting import Peril, averting_truth
from dreamdrive.experiments.truth_doubt import doubt_truth
from dreamdrive.experiments.truth_events import events_truth
from dreamdrive.experiments.truth_futures import Moment, futures_truth
from dreamdrive.experiments.truth_long import long_truth
from dreamdrive.experiments.truth_loop import loop_truth
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.experiments.truth_pictures import far_picture_truth
from dreamdrive.experiments.truth_restarts import Way
from dreamdrive.experiments.truth_steering import steering_truth
from dreamdrive.experiments.truth_whatif import whatif_truth
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

Part = Literal[
    "pictures", "steering", "loop", "events", "doubt", "long", "futures", "averting", "whatif"
]
Measure = Callable[[WorldModel, FrameTable, MeasureConfig], dict[str, float]]

PARTS: dict[str, Measure] = {
    "pictures": far_picture_truth,
    "steering": steering_truth,
    "loop": loop_truth,
    "events": events_truth,
    "doubt": doubt_truth,
}
"""The functions that need no driver and no server, each of which says what it returns."""


class Restarts(NamedTuple):
    """Episodes of a simulator that were begun again.

    Attributes:
        moments: Moments with their futures, for `futures`.
        perils: Ways on from before collisions, for `averting`.
        ways: Ways on from other moments, for `whatif`.
    """

    moments: list[Moment]
    perils: list[Peril]
    ways: list[dict[str, Way]]


def measure_part(
    part: Part, model: WorldModel, table: FrameTable, config: MeasureConfig, driver: Actor,
    restarts: Restarts,
) -> dict[str, float]:  # fmt: skip
    """Returns one part of what is measured on demand.

    Args:
        part: Which.
        model: The model.
        table: Unseen episodes.
        config: What is measured.
        driver: A policy that drives the long dreams by its mode.
        restarts: Of a simulator, as far as the part needs them.

    Raises:
        ConfigError: If the driver does not see what the model shows.
    """
    if part == "futures":
        return futures_truth(model, restarts.moments, config)
    if part == "averting":
        return averting_truth(model, restarts.perils, config)
    if part == "whatif":
        return whatif_truth(model, restarts.ways, config)
    if part != "long":
        return PARTS[part](model, table, config)

    def choose(seen_BCHW: Tensor, vector_BK: Tensor) -> Tensor:
        return driver(seen_BCHW, vector_BK).mean.tanh()

    try:
        choose(model.init_state(1).seen, model.init_state(1).vector_BK)
    except RuntimeError as error:
        raise ConfigError(
            "The driver was trained on latents of another shape", where="driver",
            do="Give a policy of a model with the same tokenizer.",
        ) from error  # fmt: skip
    return long_truth(model, table, config, choose)
