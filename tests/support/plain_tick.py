"""A tick of the embedded world without lights, in plain numpy: what the compiled one must equal.

Bodies are rows of `VEHICLE_STATE` and `WALKER_STATE`, which are changed in place.
"""

import numpy as np

from dreamdrive.envs.embedded import bodies as values
from dreamdrive.envs.embedded import dynamics, walking
from dreamdrive.envs.embedded.collision import RESTITUTION


def tick(cars, walkers, solids, dt_s):
    """Returns the contacts of a tick: (vehicle, kind, other, impulse).

    Those with solids are called `solid` and those of walkers `wall`, with the group's number.
    """
    before = cars["velocity"].copy()
    drive(cars, dt_s)
    walk(walkers, dt_s)
    boxes, boxes_on_foot = boxes_of(cars), boxes_of(walkers)
    found = []
    for i in range(len(cars)):
        for j in range(i + 1, len(cars)):
            found += touch(cars, i, cars, j, boxes[i], boxes[j], "vehicle")
    hits = []
    for i in range(len(cars)):
        for j in range(len(walkers)):
            hits += touch(cars, i, walkers, j, boxes[i], boxes_on_foot[j], "walker")
    for _, _, j, impulse in hits:
        if np.hypot(*impulse) > walking.KNOCKED_OVER_MPS * walkers["mass"][j]:
            walkers["knocked"][j] = walkers["velocity"][j]
    found += hits
    for number, group in enumerate(solids):
        for i in range(len(cars)):
            for j in range(len(group)):
                found += touch(cars, i, None, j, boxes[i], group[j], f"solid {number}")
    boxes_on_foot = boxes_of(walkers)
    for number, group in enumerate(solids):
        for i in range(len(walkers)):
            for j in range(len(group)):
                found += stop(walkers, i, j, boxes_on_foot[i], group[j], f"wall {number}")
    cars["acceleration"] = (cars["velocity"] - before) / dt_s
    return found


def boxes_of(bodies):
    return np.concatenate([bodies["pose"][:, :2], bodies["half"], bodies["pose"][:, 2:]], 1)


def shrunk(value, amount):
    return np.sign(value) * np.maximum(np.abs(value) - amount, 0.0)


def drive(cars, dt_s):
    yaw, (vx, vy) = cars["pose"][:, 2].copy(), cars["velocity"].T
    u, w = vx * np.cos(yaw) + vy * np.sin(yaw), vy * np.cos(yaw) - vx * np.sin(yaw)
    pull = np.minimum(
        values.MAX_DRIVE_MPS2, cars["power"] / (cars["mass"] * np.maximum(np.abs(u), 1.0))
    )
    push = cars["throttle"] * pull * np.where(cars["reverse"] > 0.0, -1.0, 1.0)
    slow = cars["brake"] * values.MAX_BRAKE_MPS2 + dynamics.ROLLING_MPS2
    slow += cars["hand_brake"] * dynamics.HAND_BRAKE_MPS2 + values.DRAG_PER_M * u * u
    slow += np.where(cars["throttle"] <= 0.0, dynamics.ENGINE_BRAKE_MPS2, 0.0)
    free = (shrunk(u + push * dt_s, slow * dt_s) - u) / dt_s
    is_constant = cars["constant"][:, 2] > 0.0
    acceleration = np.where(is_constant, (cars["constant"][:, 0] - u) / dt_s, free)
    middle = u + 0.5 * acceleration * dt_s
    angle = cars["steer"] * cars["max_steer"]
    angle = angle * np.interp(np.abs(middle), *dynamics.STEERING_CURVE)
    limit = values.GRIP_MPS2 / np.maximum(np.abs(middle), 0.5)
    rate = np.clip(middle * np.tan(angle) / cars["wheelbase"], -limit, limit)
    sideways = 0.5 * rate * cars["wheelbase"] * (np.abs(middle) > 0.1)
    across = sideways + shrunk(w - sideways, dynamics.SLIDE_MPS2 * dt_s)
    half, after, last = yaw + 0.5 * rate * dt_s, yaw + rate * dt_s, u + acceleration * dt_s
    moved = np.stack(
        [
            cars["pose"][:, 0] + (middle * np.cos(half) - across * np.sin(half)) * dt_s,
            cars["pose"][:, 1] + (middle * np.sin(half) + across * np.cos(half)) * dt_s,
            (after + np.pi) % (2.0 * np.pi) - np.pi,
        ],
        1,
    )
    velocity = np.stack(
        [
            last * np.cos(after) - across * np.sin(after),
            last * np.sin(after) + across * np.cos(after),
        ],
        1,
    )
    is_free = cars["physics"] > 0.0
    cars["pose"] = np.where(is_free[:, None], moved, cars["pose"])
    cars["velocity"] = np.where(is_free[:, None], velocity, 0.0)
    cars["yaw_rate"] = np.where(is_free, rate, 0.0)


def walk(walkers, dt_s):
    direction = walkers["direction"][:, :2]
    length = np.maximum(np.linalg.norm(direction, axis=1), 1e-6)
    told = direction * (walkers["speed"] / length)[:, None]
    slide = np.linalg.norm(walkers["knocked"], axis=1)
    is_sliding = slide > 0.0
    walkers["velocity"] = np.where(is_sliding[:, None], walkers["knocked"], told)
    left = np.maximum(slide - walking.SLIDE_MPS2 * dt_s, 0.0) / np.where(is_sliding, slide, 1.0)
    walkers["knocked"] *= left[:, None]
    walkers["walked"] += np.where(is_sliding, 0.0, walkers["speed"] * dt_s)
    walkers["pose"][:, :2] += walkers["velocity"] * dt_s
    yaw = np.arctan2(direction[:, 1], direction[:, 0])
    turns = (walkers["speed"] > 0.0) & ~is_sliding
    walkers["pose"][:, 2] = np.where(turns, yaw, walkers["pose"][:, 2])


def corners(box):
    x, y, length, width, yaw = box
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    signs = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    return np.array([x, y]) + signs * (length, width) @ turn


def overlap_of(box, other):
    """Returns how deep two boxes overlap, and along which axis, from the second to the first."""
    if np.hypot(*(box[:2] - other[:2])) > np.hypot(*box[2:4]) + np.hypot(*other[2:4]):
        return 0.0, None
    depth, normal = np.inf, None
    for yaw in (box[4], box[4] + np.pi / 2, other[4], other[4] + np.pi / 2):
        axis = np.array([np.cos(yaw), np.sin(yaw)])
        if (box[:2] - other[:2]) @ axis < 0.0:
            axis = -axis
        overlap = (corners(other) @ axis).max() - (corners(box) @ axis).min()
        if overlap < depth - 1e-12:
            depth, normal = overlap, axis
    return depth, normal


def stop(walkers, i, j, box, other, kind):
    """Puts a walker outside of a solid, ends its motion into it, and returns a contact."""
    depth, normal = overlap_of(box, other)
    if depth <= 0.0:
        return []
    closing = min(walkers["velocity"][i] @ normal, 0.0)
    walkers["pose"][i, :2] += normal * depth
    walkers["velocity"][i] -= closing * normal
    return [(i, kind, j, -closing * walkers["mass"][i] * normal)]


def touch(cars, i, others, j, box, other, kind):
    """Parts two bodies if their boxes' corners overlap along all sides, and returns a contact."""
    depth, normal = overlap_of(box, other)
    if depth <= 0.0:
        return []
    share = 1.0 / cars["mass"][i]
    share_other = 0.0 if others is None else 1.0 / others["mass"][j]
    velocity_other = np.zeros(2) if others is None else others["velocity"][j]
    closing = (cars["velocity"][i] - velocity_other) @ normal
    impulse = max(-(1.0 + RESTITUTION) * closing, 0.0) / (share + share_other) * normal
    cars["pose"][i, :2] += normal * depth * share / (share + share_other)
    cars["velocity"][i] += impulse * share
    if others is not None:
        others["pose"][j, :2] -= normal * depth * share_other / (share + share_other)
        others["velocity"][j] -= impulse * share_other
    return [(i, kind, j, impulse)]
