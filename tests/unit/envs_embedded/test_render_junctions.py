import numpy as np

from dreamdrive.envs.embedded.render.junctions import Mouth, corners_of, hull_of


def flat(*points):
    return np.array([(*point, 0.0) for point in points], np.float64)


SQUARE = flat((-5, -5), (5, -5), (5, 5), (-5, 5))
WEST = Mouth(flat((-5, -5), (-5, 5)), flat((-5, -7), (-5, 7)))
EAST = Mouth(flat((5, -5), (5, 5)), flat((5, -8), (5, 8)))


def test_a_hull_runs_anticlockwise_round_the_outermost_points():
    rng = np.random.default_rng(0)
    inside = np.concatenate([rng.uniform(-4.9, 4.9, (50, 2)), np.zeros((50, 1))], 1)
    middles = flat((0, -5), (5, 0), (0, 5), (-5, 0))
    np.testing.assert_array_equal(hull_of(np.concatenate([inside, middles, SQUARE])), SQUARE)


def test_sidewalks_join_those_of_the_streets_on_both_sides():
    hull = flat((-5, -5), (0, -5.5), (5, -5), (5, 5), (-5, 5))
    below, above = corners_of(hull, [WEST, EAST])
    np.testing.assert_allclose(below[1], hull[:3])
    np.testing.assert_allclose(below[0], flat((-5, -7), (0, -8), (5, -8)))
    np.testing.assert_allclose(above[1], flat((5, 5), (-5, 5)))
    np.testing.assert_allclose(above[0], flat((5, 8), (-5, 7)))


def test_there_is_no_corner_where_a_street_has_no_sidewalk():
    bare = WEST._replace(outer=np.array([WEST.paved[0], WEST.outer[1]]))
    ((_, inner),) = corners_of(SQUARE, [bare, EAST])
    np.testing.assert_allclose(inner, flat((5, 5), (-5, 5)))


def test_a_junction_without_streets_has_no_corners():
    assert corners_of(SQUARE, []) == []
