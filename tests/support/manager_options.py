"""Tries each option of CARLA's Traffic Manager on a server of its own, and tells what came of it.

`PYTHONPATH=tests python -m support.manager_options country PORT` in DreamCountry, `motorway` in
DreamMotorway. It is a process of its own, which a Traffic Manager that loses a wake-up cannot take
along. What it measures is printed as JSON, by name.
"""

import json
import math
import os
import sys

import carla

from dreamdrive.envs.carla.ports import any_free_port

CAR, WALKER = "vehicle.lincoln.mkz_2020", "walker.pedestrian.0001"
UP_M, LENGTH_M = 0.3, 4.9


class Roads:
    """A world with a Traffic Manager, and the lanes of its map."""

    def __init__(self, port):
        self.client = carla.Client("127.0.0.1", port, 4)
        self.client.set_timeout(60.0)
        self.world = self.client.get_world()
        self.map = self.world.get_map()
        self.blueprints = self.world.get_blueprint_library()
        self.manager_port = any_free_port()
        self.manager = self.client.get_trafficmanager(self.manager_port)
        self.manager.set_synchronous_mode(True)
        self.manager.set_random_device_seed(3)
        self.ways, self.led = {}, []
        for way in self.map.generate_waypoints(1.0):
            self.ways.setdefault((way.road_id, way.lane_id), []).append(way)

    def before_end(self, road, lane, distance):
        """Returns the place of a lane so many metres before its end."""
        ways = sorted(self.ways[road, lane], key=lambda way: -lane * way.s)
        return ways[-1 - distance]

    def put(self, kind, way, **attributes):
        blueprint, place = self.blueprints.find(kind), way.transform
        for name, value in attributes.items():
            blueprint.set_attribute(name, value)
        place.location.z += UP_M if kind == CAR else 1.0
        return self.world.spawn_actor(blueprint, place)

    def lead(self, road, lane, distance, **attributes):
        """Returns a car of the manager's, so far before the end of a lane."""
        car = self.put(CAR, self.before_end(road, lane, distance), **attributes)
        self.led.append(car)
        return car

    def begin(self):
        self.world.tick()
        for car in self.led:
            car.set_autopilot(True, self.manager_port)

    def ticks(self, count):
        for _ in range(count):
            self.world.tick()

    def offset(self, car):
        """Returns how far right of its lane's centre a car is."""
        centre = self.map.get_waypoint(car.get_location()).transform
        apart = car.get_location() - centre.location
        return apart.dot(centre.get_right_vector())

    def turned(self, car, degrees):
        """Returns how far a car has turned clockwise since it looked in a direction."""
        return (car.get_transform().rotation.yaw - degrees + 180.0) % 360.0 - 180.0

    def end(self):
        self.manager.shut_down()


def gap(car, other):
    """Returns how many metres are left between a car and another car, or a walker, ahead of it."""
    reach = LENGTH_M if other.type_id == CAR else LENGTH_M / 2.0
    return car.get_location().distance_2d(other.get_location()) - reach


def limit_mps(car):
    return car.get_speed_limit() / 3.6


def country(roads):
    """Speeds, distances, lights, signs and routes on roads of one lane each way."""
    manager, found = roads.manager, {"port": roads.manager.get_port() == roads.manager_port}
    manager.global_percentage_speed_difference(30.0)
    manager.global_lane_offset(-0.5)
    manager.set_global_distance_to_leading_vehicle(6.0)
    manager.set_osm_mode(True)
    plain, slow, half = roads.lead(7, 1, 160), roads.lead(12, 1, 200), roads.lead(11, 1, 220)
    aside = roads.lead(9, 1, 170)
    manager.set_desired_speed(slow, 15.0)
    manager.vehicle_percentage_speed_difference(half, 50.0)
    manager.vehicle_lane_offset(aside, 0.8)
    manager.update_vehicle_lights(slow, True)
    roads.world.set_weather(carla.WeatherParameters.ClearNight)

    pairs = {}
    for name, road, lane in (("far", 6, -1), ("near", 6, 1), ("blind", 2, -1), ("careless", 5, -1)):
        car = roads.lead(road, lane, 120)
        pairs[name] = car, roads.put(CAR, roads.before_end(road, lane, 90))
    manager.distance_to_leading_vehicle(pairs["near"][0], 2.0)
    manager.collision_detection(*pairs["blind"], False)
    manager.ignore_vehicles_percentage(pairs["careless"][0], 100.0)
    crowd = {}
    for name, road, lane in (("hits", 4, -1), ("waits", 11, -1)):
        car = roads.lead(road, lane, 120)
        crowd[name] = car, roads.put(WALKER, roads.before_end(road, lane, 95))
    manager.ignore_walkers_percentage(crowd["hits"][0], 100.0)

    for light in roads.world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Red)
    roads.world.freeze_all_traffic_lights(True)
    runs, stops = roads.lead(4, 1, 30), roads.lead(3, 1, 30)
    manager.ignore_lights_percentage(runs, 100.0)
    passes, heeds = roads.lead(10, 1, 30), roads.lead(8, -1, 30)
    manager.ignore_signs_percentage(passes, 100.0)

    roads.begin()
    slowest = {"passes": math.inf, "heeds": math.inf}
    nearest = dict.fromkeys((*pairs, *crowd), math.inf)
    for tick in range(200):
        roads.world.tick()
        for name, pair in (*pairs.items(), *crowd.items()):
            nearest[name] = min(nearest[name], gap(*pair))
        if tick > 20:
            for name, car in (("passes", passes), ("heeds", heeds)):
                slowest[name] = min(slowest[name], car.get_velocity().length())
        if tick == 100:
            found["lights"] = int(slow.get_light_state())
            found["actions"] = [action for action, _ in manager.get_all_actions(plain)]
            found["next_action"] = manager.get_next_action(plain)[0]
    found |= {f"slowest_{name}": speed for name, speed in slowest.items()}
    found["speed"] = slow.get_velocity().length()
    found["share"] = half.get_velocity().length() / limit_mps(half)
    found["plain_share"] = plain.get_velocity().length() / limit_mps(plain)
    found["offset"], found["plain_offset"] = roads.offset(aside), roads.offset(plain)
    found |= {f"gap_{name}": least for name, least in nearest.items()}
    for name, car, road in (("runs", runs, 4), ("stops", stops, 3)):
        found[name] = car.get_location().distance(roads.before_end(road, 1, 0).transform.location)
    roads.end()
    return found


def turns(roads):
    """Ways through junctions, and vehicles far from the hero."""
    manager, found, first = roads.manager, {}, {}
    for name, road, route in (("left", 4, ["Left"]), ("right", 6, ["Right"])):
        first[name] = roads.lead(road, 1, 40)
        manager.set_route(first[name], route)
    there = roads.before_end(8, -1, 0)
    ways = [way.next_until_lane_end(2.0) or [way] for way in there.next(2.0)]
    path = max(ways, key=lambda way: abs(_angle(way[-1], there)))
    follows = roads.lead(8, -1, 40)
    manager.set_path(follows, [way.transform.location for way in path])
    hero = roads.lead(12, 1, 200, role_name="hero")
    far = roads.lead(3, -1, 200)
    manager.set_hybrid_physics_mode(True)
    manager.set_hybrid_physics_radius(30.0)
    manager.set_respawn_dormant_vehicles(False)
    manager.set_boundaries_respawn_dormant_vehicles(25.0, 200.0)
    manager.ignore_signs_percentage(follows, 100.0)
    for car in first.values():
        manager.ignore_signs_percentage(car, 100.0)
        manager.ignore_lights_percentage(car, 100.0)
    roads.begin()
    roads.world.tick()
    yaw = {name: car.get_transform().rotation.yaw for name, car in first.items()}
    start = {"hero": hero.get_location(), "far": far.get_location()}
    near = math.inf
    for _ in range(240):
        roads.world.tick()
        near = min(near, follows.get_location().distance(path[-1].transform.location))
    found |= {name: roads.turned(car, yaw[name]) for name, car in first.items()}
    found["follows"] = near
    found["hero_moved"] = hero.get_location().distance(start["hero"])
    found["far_moved"] = far.get_location().distance(start["far"])
    roads.end()
    return found


def _angle(way, before):
    turn = way.transform.rotation.yaw - before.transform.rotation.yaw
    return (turn + 180.0) % 360.0 - 180.0


def motorway(roads):
    """Lane changes on three lanes."""
    manager = roads.manager
    cars = {}
    for name, lane, distance in (
        ("forced_right", -2, 480), ("forced_left", -2, 380), ("stays", -2, 280),
    ):  # fmt: skip
        cars[name] = roads.lead(2, lane, distance)
    for name, distance in (("slow_lane", 480), ("random_left", 380), ("random_right", 280)):
        cars[name] = roads.lead(4, -2, distance)
    for name in ("forced_right", "forced_left", "stays"):
        manager.auto_lane_change(cars[name], False)
    manager.keep_slow_lane_rule_percentage(cars["slow_lane"], 100.0)
    manager.random_left_lanechange_percentage(cars["random_left"], 100.0)
    manager.random_right_lanechange_percentage(cars["random_right"], 100.0)
    roads.begin()
    roads.ticks(40)
    manager.force_lane_change(cars["forced_right"], True)
    manager.force_lane_change(cars["forced_left"], False)
    lanes = {name: set() for name in cars}
    for _ in range(160):
        roads.world.tick()
        for name, car in cars.items():
            lanes[name].add(roads.map.get_waypoint(car.get_location()).lane_id)
    roads.end()
    return {name: sorted(seen) for name, seen in lanes.items()}


if __name__ == "__main__":
    what, port = sys.argv[1], int(sys.argv[2])
    told = {"country": country, "turns": turns, "motorway": motorway}[what](Roads(port))
    print("told", json.dumps(told), flush=True)  # noqa: T201
    os._exit(0)
