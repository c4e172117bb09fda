"""How the sheet of sensors is put together."""

import numpy as np

from dreamdrive.experiments import camera_sheet


def test_objects_with_other_numbers_have_other_colours():
    numbers = np.zeros((1, 3, 3), np.uint8)
    numbers[0, 1:, 1:] = (7, 0), (7, 1)
    coloured = camera_sheet._coloured(numbers)
    assert coloured[0, 0].tolist() == [30, 30, 30]
    assert len({tuple(colour) for colour in coloured[0].tolist()}) == 3


def test_a_picture_stands_on_the_sheet_as_it_is():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (camera_sheet.HEIGHT, camera_sheet.WIDTH, 3), np.uint8)
    sheet = np.asarray(camera_sheet.sheet_of([("one", picture)] * 4))
    top = 2 * camera_sheet.GAP + camera_sheet.HEIGHT + camera_sheet.LABEL
    found = sheet[top:, camera_sheet.GAP :][: camera_sheet.HEIGHT, : camera_sheet.WIDTH]
    np.testing.assert_array_equal(found, picture)
