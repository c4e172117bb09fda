import numpy as np
import pytest

from dreamdrive.envs.embedded.collision import (
    RESTITUTION,
    ClearanceMap,
    find_contacts,
    resolve,
)


def boxes(*rows):
    return np.array(rows, np.float64).reshape(-1, 5)


CAR = (0.0, 0.0, 2.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("other", "depth", "normal"),
    [
        ((3.5, 0.0, 2.0, 1.0, 0.0), 0.5, (-1.0, 0.0)),
        ((-3.9, 0.3, 2.0, 1.0, 0.0), 0.1, (1.0, 0.0)),
        ((0.0, 1.75, 2.0, 1.0, 0.0), 0.25, (0.0, -1.0)),
        ((0.0, 2.5, 2.0, 1.0, np.pi / 2), 0.5, (0.0, -1.0)),
        ((2.0 + np.sqrt(2.0) - 0.1, 0.0, 1.0, 1.0, np.pi / 4), 0.1, (-1.0, 0.0)),
    ],
)
def test_how_deep_and_which_way(other, depth, normal):
    contacts = find_contacts(boxes(CAR, other))
    assert contacts.first.tolist() == [0]
    assert contacts.second.tolist() == [1]
    assert contacts.depth[0] == pytest.approx(depth, abs=1e-9)
    np.testing.assert_allclose(contacts.normal[0], normal, atol=1e-9)


@pytest.mark.parametrize(
    "other",
    [
        (4.01, 0.0, 2.0, 1.0, 0.0),
        (0.0, 2.01, 2.0, 1.0, 0.0),
        (0.0, 3.01, 2.0, 1.0, np.pi / 2),
        (2.0 + np.sqrt(2.0) + 0.01, 0.0, 1.0, 1.0, np.pi / 4),
        # The circles overlap and so do the boxes along x and y: only a turned axis parts them.
        (2.8, 1.8, 1.0, 1.0, np.pi / 4),
    ],
)
def test_neighbours_that_do_not_touch(other):
    assert len(find_contacts(boxes(CAR, other)).first) == 0


def test_contained_boxes_touch():
    assert find_contacts(boxes(CAR, (0.1, 0.0, 0.2, 0.2, 0.4))).first.tolist() == [0]


def test_each_pair_is_found_once_and_in_order():
    row = boxes(*[(1.5 * i, 0.0, 1.0, 1.0, 0.0) for i in range(4)])
    contacts = find_contacts(row)
    pairs = list(zip(contacts.first.tolist(), contacts.second.tolist(), strict=True))
    assert pairs == [(0, 1), (1, 2), (2, 3)]


def crowd(rng, count):
    """Returns boxes from far away to close together, tiny to large, some of them ghosts."""
    spread = 10.0 ** rng.uniform(0.0, 6.0)
    middle = spread * rng.uniform(-1.0, 1.0, 2)
    places = middle + rng.uniform(-1.0, 1.0, (count, 2)) * 2.5 * np.sqrt(count)
    half = rng.uniform(0.2, 2.0, (count, 2))
    half[rng.random(count) < rng.choice([0.0, 0.03])] *= 6.0
    places[rng.random(count) < 0.1] = np.inf
    return np.concatenate([places, half, rng.uniform(-np.pi, np.pi, (count, 1))], 1)


@pytest.mark.parametrize("seed", range(12))
def test_the_grid_finds_what_a_look_at_every_pair_finds_and_in_its_order(seed):
    rng = np.random.default_rng(seed)
    first, second = crowd(rng, int(rng.integers(1, 120))), crowd(rng, int(rng.integers(1, 120)))
    for others in (None, second):
        those = first if others is None else others
        pairs = [
            (i, j)
            for i in range(len(first))
            for j in range(i + 1 if others is None else 0, len(those))
            if len(find_contacts(first[i : i + 1], those[j : j + 1]).first)
        ]
        found = find_contacts(first, others)
        assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == pairs


def test_nothing_touches_nothing():
    assert len(find_contacts(boxes()).first) == 0
    assert len(find_contacts(boxes(CAR), boxes()).first) == 0


def test_a_head_on_crash_keeps_momentum_and_parts_the_bodies():
    position = np.array([[0.0, 0.0], [3.0, 0.0]])
    velocity = np.array([[10.0, 0.0], [-4.0, 0.0]])
    mass = np.array([1000.0, 3000.0])
    before = mass @ velocity
    contacts = find_contacts(boxes(CAR, (3.0, 0.0, 2.0, 1.0, 0.0)))
    impulses = resolve(contacts, position, velocity, mass)
    np.testing.assert_allclose(mass @ velocity, before)
    assert velocity[1, 0] - velocity[0, 0] == pytest.approx(RESTITUTION * 14.0)
    assert position[1, 0] - position[0, 0] == pytest.approx(4.0)
    reduced = 1.0 / (1.0 / 1000.0 + 1.0 / 3000.0)
    assert impulses[0, 0] == pytest.approx(-(1.0 + RESTITUTION) * reduced * 14.0)


def test_a_wall_does_not_move():
    position, velocity = np.array([[0.0, 0.0]]), np.array([[5.0, 2.0]])
    wall = boxes((2.5, 0.0, 1.0, 9.0, 0.0))
    others = (wall[:, :2].copy(), np.zeros((1, 2)), np.array([np.inf]))
    resolve(find_contacts(boxes(CAR), wall), position, velocity, np.array([1000.0]), others)
    np.testing.assert_allclose(velocity, [[-RESTITUTION * 5.0, 2.0]])
    assert position[0, 0] == pytest.approx(-0.5)
    np.testing.assert_array_equal(others[0], wall[:, :2])


def test_bodies_that_part_already_get_no_impulse():
    position = np.array([[0.0, 0.0], [3.5, 0.0]])
    velocity = np.array([[-1.0, 0.0], [1.0, 0.0]])
    contacts = find_contacts(boxes(CAR, (3.5, 0.0, 2.0, 1.0, 0.0)))
    assert not resolve(contacts, position, velocity, np.ones(2)).any()
    np.testing.assert_array_equal(velocity, [[-1.0, 0.0], [1.0, 0.0]])


@pytest.mark.parametrize("seed", range(5))
def test_the_clearance_map_never_hides_a_contact(seed):
    rng = np.random.default_rng(seed)
    fixed = np.concatenate(
        [rng.uniform(-60, 60, (30, 2)), rng.uniform(1, 8, (30, 2)), rng.uniform(-3, 3, (30, 1))], 1
    )
    cars = np.concatenate(
        [
            rng.uniform(-80, 80, (400, 2)), np.full((400, 1), 2.4), np.full((400, 1), 1.0),
            rng.uniform(-3, 3, (400, 1)),
        ],
        1,
    )  # fmt: skip
    near = ClearanceMap(fixed).near(cars)
    assert set(find_contacts(cars, fixed).first) <= set(near)
    assert len(near) < 250


def test_an_empty_clearance_map_is_near_nobody():
    assert len(ClearanceMap(boxes()).near(boxes(CAR))) == 0
