"""Stands in for CARLA's BasicAgent: the same face, and a pursuit of its plan behind it."""

import math

import carla

from agents.navigation.local_planner import RoadOption

KMH_PER_MPS = 3.6


class BasicAgent:
    def __init__(self, vehicle, target_speed=20, opt_dict={}, map_inst=None, grp_inst=None):  # noqa: B006
        assert opt_dict == {"dt": 0.05}
        assert isinstance(map_inst, carla.Map)
        self._vehicle, self._speed_kmh, self._plan = vehicle, target_speed, []
        self.asked = 0

    def follow_speed_limits(self, value=True):
        if value:
            self._speed_kmh = self._vehicle.get_speed_limit()

    def set_global_plan(self, plan, stop_waypoint_creation=True, clean_queue=True):
        assert all(isinstance(option, RoadOption) for _, option in plan)
        self._plan = [waypoint.transform.location for waypoint, _ in plan]

    def run_step(self):
        self.asked += 1
        place = self._vehicle.get_transform()
        while len(self._plan) > 1 and self._plan[0].distance(place.location) < 5.0:
            self._plan.pop(0)
        offset = self._plan[0] - place.location
        ahead, side = place.get_forward_vector(), place.get_right_vector()
        along, across = offset.dot(ahead), offset.dot(side)
        wheel = math.atan2(2 * 2.85 * across, max(1.0, along**2 + across**2))
        speed_kmh = self._vehicle.get_velocity().length() * KMH_PER_MPS
        return carla.VehicleControl(
            steer=max(-1.0, min(1.0, wheel / 1.2)),
            throttle=0.4 if speed_kmh < min(self._speed_kmh, 25.0) else 0.0,
        )
