"""A leaderboard agent that follows its plan by GNSS, compass and speedometer, and notes all it saw.

Its config is a JSON file: `notes`, where the notes go, and `track`.
"""

import json
import math
from pathlib import Path

import carla
import numpy as np
from leaderboard.autoagents.autonomous_agent import AutonomousAgent, Track

METRES_PER_DEGREE = 111_319.49
WANTED_MPS = 5.0
NEAR_M = 6.0


def get_entry_point():
    return "Follower"


class Follower(AutonomousAgent):
    def setup(self, path_to_conf_file):
        self._config = json.loads(Path(path_to_conf_file).read_text())
        self.track = Track.MAP
        self._notes, self._here = [], None

    def set_global_plan(self, global_plan_gps, global_plan_world_coord):
        super().set_global_plan(global_plan_gps, global_plan_world_coord)
        self._origin = global_plan_gps[0][0]
        self._dense = np.array([self._metres(fix["lat"], fix["lon"]) for fix, _ in global_plan_gps])

    def sensors(self):
        mount = {"x": 0.7, "y": 0.0, "z": 1.6, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
        return [
            {"type": "sensor.camera.rgb", "id": "eye", **mount, "width": 64, "height": 48,
             "fov": 100},
            {"type": "sensor.lidar.ray_cast", "id": "lidar", **mount},
            {"type": "sensor.other.radar", "id": "radar", **mount, "horizontal_fov": 30,
             "vertical_fov": 10},
            {"type": "sensor.other.imu", "id": "imu", **mount},
            {"type": "sensor.other.gnss", "id": "gnss", "x": 0.0, "y": 0.0, "z": 1.6},
            {"type": "sensor.speedometer", "id": "speed", "reading_frequency": 20},
            {"type": "sensor.opendrive_map", "id": "map", "reading_frequency": 1},
        ]  # fmt: skip

    def _metres(self, lat, lon):
        east = (lon - self._origin["lon"]) * METRES_PER_DEGREE
        return [
            east * math.cos(math.radians(self._origin["lat"])),
            (lat - self._origin["lat"]) * METRES_PER_DEGREE,
        ]

    def run_step(self, input_data, timestamp):
        speed = input_data["speed"][1]["speed"]
        heading = math.pi / 2 - float(input_data["imu"][1][6])
        fix = np.array(self._metres(*input_data["gnss"][1][:2]))
        ahead = np.array([math.cos(heading), math.sin(heading)])
        if self._here is None:
            self._here = self._dense[0]
        self._here = self._here + 0.05 * speed * ahead
        self._here = self._here + 0.04 * (fix - self._here)
        offset = self._dense - self._here
        along = offset @ ahead
        away = np.hypot(*offset.T)
        first = int(away.argmin())
        beyond = first + int(np.argmax(away[first:] > NEAR_M)) if away[-1] > NEAR_M else -1
        side = float(offset[beyond] @ np.array([-ahead[1], ahead[0]]))
        wheel = math.atan2(2 * 2.85 * side, max(1.0, away[beyond] ** 2))
        self._notes.append(
            {
                "time_s": timestamp,
                "frames": sorted({frame for frame, _ in input_data.values()}),
                "shapes": {
                    name: list(np.shape(data))
                    for name, (_, data) in input_data.items()
                    if name not in ("speed", "map")
                },
                "brightest": int(input_data["eye"][1][:, :, :3].max()),
                "gnss": input_data["gnss"][1].tolist(),
                "compass": float(input_data["imu"][1][6]),
                "speed": speed,
                "along": float(along[beyond]),
            }
        )
        return carla.VehicleControl(
            steer=float(np.clip(-wheel / 1.2, -1.0, 1.0)),
            throttle=0.4 if speed < WANTED_MPS else 0.0,
        )

    def destroy(self):
        fix = self._global_plan[0][0]
        told = {
            "steps": self._notes, "first": fix,
            "sparse": [[option.name, place.location.x, place.location.y]
                       for place, option in self._global_plan_world_coord],
        }  # fmt: skip
        Path(self._config["notes"]).write_text(json.dumps(told))
