"""A sensor's frame is the same whenever somebody begins to listen, and after a pause."""

import pytest

from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town

TOWN = load_town("Dream01")
NOISY = {
    "sensor.lidar.ray_cast": {
        "points_per_second": "4000", "channels": "4", "rotation_frequency": "7",
        "noise_stddev": "0.1", "noise_seed": "3", "range": "50",
    },
    "sensor.lidar.ray_cast_semantic": {"points_per_second": "4000", "rotation_frequency": "7"},
    "sensor.other.radar": {"points_per_second": "2000", "noise_seed": "3"},
    "sensor.other.imu": {"noise_accel_stddev_x": "1"},
    "sensor.other.gnss": {"noise_lat_stddev": "1"},
    "sensor.camera.rgb": {"image_size_x": "32", "image_size_y": "24"},
}  # fmt: skip


@pytest.mark.parametrize("kind", NOISY)
def test_a_frame_is_the_same_whoever_listened_before(kind):
    found = []
    for heard in (range(1, 13), range(6, 13), (*range(1, 4), *range(7, 13))):
        sim = Simulator(TOWN, synchronous=True)
        car = sim.world.spawn("vehicle.lincoln.mkz_2020", {}, *TOWN.spawn_points[0])
        sensor = sim.world.spawn(kind, NOISY[kind], 0.0, 0.0, 2.0, 0.0, car.id).id
        sim.world.vehicles.throttle[:] = 0.5
        sent = {}
        for tick in range(1, 13):
            sim.tick()
            if tick in heard:
                (sent[tick],) = sim.sensed(sensor)
        found.append([sent[tick] for tick in range(8, 13)])
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 5
