"""Drives with CARLA's Traffic Manager and prints digests of all that can be seen.

`python -m support.repeatable_drive PORT TICKS`, against a server in synchronous mode that has just
started. Ends at once, without a Traffic Manager's farewells.
"""

import hashlib
import os
import queue
import socket
import struct
import sys

import carla

WARM_UP = 100
"""Ticks before digests begin: subscriptions travel on sockets of their own."""
SENSORS = {
    "sensor.camera.rgb": {"image_size_x": "64", "image_size_y": "48"},
    "sensor.camera.depth": {"image_size_x": "32", "image_size_y": "24"},
    "sensor.lidar.ray_cast": {"points_per_second": "10000", "noise_stddev": "0.05"},
    "sensor.other.radar": {"points_per_second": "1000"},
    "sensor.other.imu": {"noise_accel_stddev_x": "0.1", "noise_gyro_stddev_z": "0.01"},
    "sensor.other.gnss": {"noise_lat_stddev": "0.000005"},
}  # fmt: skip


def bytes_of(data):
    """Returns what a message holds."""
    if hasattr(data, "raw_data"):
        return bytes(data.raw_data)
    if isinstance(data, carla.IMUMeasurement):
        force, turn = data.accelerometer, data.gyroscope
        values = (force.x, force.y, force.z, turn.x, turn.y, turn.z, data.compass)
    else:
        values = (data.latitude, data.longitude, data.altitude)
    return struct.pack(f"{len(values)}d", *values)


def motion(snapshot):
    """Returns where all actors are and how they move."""
    found = b""
    for seen in sorted(snapshot, key=lambda actor: actor.id):
        place, speed, pull = seen.get_transform(), seen.get_velocity(), seen.get_acceleration()
        at, turn = place.location, place.rotation
        found += struct.pack(
            "I12d", seen.id, at.x, at.y, at.z, turn.pitch, turn.yaw, turn.roll, speed.x, speed.y,
            speed.z, pull.x, pull.y, pull.z,
        )  # fmt: skip
    return found


def main(port, num_ticks):
    client = carla.Client("127.0.0.1", port, 8)
    client.set_timeout(60.0)
    world = client.get_world()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        manager_port = free.getsockname()[1]
    manager = client.get_trafficmanager(manager_port)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(5)
    library = world.get_blueprint_library()
    models = sorted(
        (b for b in library.filter("vehicle.*") if b.get_attribute("base_type") == "car"),
        key=lambda blueprint: blueprint.id,
    )
    places = world.get_map().get_spawn_points()
    spawn, autopilot = carla.command.SpawnActor, carla.command.SetAutopilot
    answers = client.apply_batch_sync(
        [
            spawn(models[i % len(models)], place).then(
                autopilot(carla.command.FutureActor, True, manager_port)
            )
            for i, place in enumerate(places[::3][:20])
        ],
        True,
    )
    ego = world.get_actor(answers[0].actor_id)
    for i in range(5):
        walker = world.spawn_actor(library.find(f"walker.pedestrian.000{i + 1}"), places[61 + i])
        walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.1 * i, 0.0), 1.4))
    sensors, mailboxes = [], []  # A sensor that nobody holds is silent.
    for kind, attributes in SENSORS.items():
        blueprint = library.find(kind)
        for name, value in attributes.items():
            blueprint.set_attribute(name, value)
        place = carla.Transform(carla.Location(x=1.0, z=2.5))
        sensors.append(world.spawn_actor(blueprint, place, attach_to=ego))
        mailboxes.append(queue.Queue())
        sensors[-1].listen(mailboxes[-1].put)
    digest = hashlib.sha256()
    for tick in range(num_ticks):
        frame = world.tick()
        if tick < WARM_UP:
            continue
        digest.update(motion(world.get_snapshot()))
        for mailbox in mailboxes:
            data = mailbox.get(timeout=60.0)
            while data.frame < frame:
                data = mailbox.get(timeout=60.0)
            assert data.frame == frame
            digest.update(bytes_of(data))
        if tick % (num_ticks // 10) == 0 or tick == num_ticks - 1:
            print("digest", tick, digest.hexdigest(), flush=True)  # noqa: T201
    print("way", ego.get_location(), flush=True)  # noqa: T201
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
