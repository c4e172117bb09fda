"""Stands in for CARLA's BehaviorAgent."""

from agents.navigation.basic_agent import BasicAgent


class BehaviorAgent(BasicAgent):
    def __init__(self, vehicle, behavior="normal", opt_dict={}, map_inst=None, grp_inst=None):  # noqa: B006
        super().__init__(vehicle, opt_dict=opt_dict, map_inst=map_inst)
        self.behavior = behavior
        self._speed_kmh = {"cautious": 10, "normal": 20, "aggressive": 25}[behavior]
