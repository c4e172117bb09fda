from typing import get_args

import numpy as np
import pytest

from dreamdrive.driving.state import (
    STATE_FIELDS,
    STATE_HIGH,
    STATE_INDEX,
    STATE_LOW,
    STATE_SIZE,
    TARGET_DISTANCES_M,
    Command,
    EgoState,
)


def ego(**changes: object) -> EgoState:
    fields: dict[str, object] = {
        "speed_mps": 7.5, "yaw_rate_radps": 0.2, "lateral_offset_m": -0.5,
        "heading_error_rad": 0.1, "speed_limit_mps": 13.9,
        "targets_m": ((5.0, 0.5), (12.0, 1.0), (23.5, 4.0)),
    }  # fmt: skip
    return EgoState(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_vector_holds_each_field_at_its_index() -> None:
    vector = ego(command="left").vector()
    assert vector.dtype == np.float32
    assert vector.shape == (STATE_SIZE,) == (14,)
    named = {field.name: float(vector[i]) for i, field in enumerate(STATE_FIELDS)}
    assert named == pytest.approx(
        {
            "speed": 7.5, "yaw_rate": 0.2, "lateral_offset": -0.5, "heading_error": 0.1,
            "speed_limit": 13.9, "target_1_x": 5.0, "target_1_y": 0.5, "target_2_x": 12.0,
            "target_2_y": 1.0, "target_3_x": 23.5, "target_3_y": 4.0, "command_left": 1.0,
            "command_straight": 0.0, "command_right": 0.0,
        },
        abs=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("command", get_args(Command))
def test_commands_are_one_hot_and_follow_is_none(command: str) -> None:
    flags = ego(command=command).vector()[STATE_INDEX["command_left"] :]
    expected = [float(command == name) for name in ("left", "straight", "right")]
    assert flags.tolist() == expected


def test_values_are_clipped_to_their_bounds() -> None:
    vector = ego(speed_mps=99.0, lateral_offset_m=-400.0).vector()
    assert vector[STATE_INDEX["speed"]] == 50.0
    assert vector[STATE_INDEX["lateral_offset"]] == -50.0
    assert (vector >= STATE_LOW).all()
    assert (vector <= STATE_HIGH).all()


def test_there_is_a_target_for_each_distance() -> None:
    assert sum(field.name.startswith("target_") for field in STATE_FIELDS) == 2 * len(
        TARGET_DISTANCES_M
    )
