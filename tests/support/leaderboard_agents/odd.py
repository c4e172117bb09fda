"""Leaderboard agents that do something wrong, or have one sensor alone; the config says what."""

import carla
from leaderboard.autoagents.autonomous_agent import AutonomousAgent, Track


def get_entry_point():
    return "Odd"


class Odd(AutonomousAgent):
    def setup(self, path_to_conf_file):
        self._fault, self._steps = path_to_conf_file, 0
        self.track = Track.SENSORS
        if self._fault == "setup":
            raise OSError("the agent's own weights are gone")

    def sensors(self):
        if self._fault == "sensor":
            return [{"type": "sensor.camera.depth", "id": "depth"}]
        if self._fault == "one":
            level = {"roll": 0.0, "pitch": 0.0, "yaw": 0.0}
            return [
                {"type": "sensor.camera.rgb", "id": "eye", "x": 0.7, "y": 0.0, "z": 1.6, **level,
                 "width": 32, "height": 24, "fov": 90},
            ]  # fmt: skip
        return []

    def run_step(self, input_data, timestamp):
        self._steps += 1
        if self._fault == "one":
            assert input_data["eye"][1].shape == (24, 32, 4)
        if self._steps == 12:
            if self._fault == "raises":
                raise RuntimeError("time-out of the agent's own")
            if self._fault == "nan":
                return carla.VehicleControl(throttle=float("nan"))
            if self._fault == "none":
                return None
        return carla.VehicleControl(throttle=0.5)

    def destroy(self):
        raise ValueError("nobody minds")
