import ast
import inspect

import numpy as np
import pytest
from numba import float64
from numba.core.dispatcher import Dispatcher

from dreamdrive.envs.embedded import collision, dynamics, kerbs, lights, records, touching
from dreamdrive.envs.embedded.blueprints import VEHICLES
from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render import (
    events,
    flow,
    lamplight,
    paint,
    pixels,
    rain,
    raster,
    ray_tree,
    scene,
    shadows,
)
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world import World

MODULES = (collision, dynamics, kerbs, lights, records, touching)
RENDERING = (events, flow, lamplight, paint, pixels, rain, raster, ray_tree, scene, shadows)


def compiled_in(module):
    functions = [value for value in vars(module).values() if isinstance(value, Dispatcher)]
    assert functions
    return functions


@pytest.mark.parametrize("module", [*MODULES, *RENDERING])
def test_what_is_kept_on_disk_depends_on_one_file_alone(module):
    tree = ast.parse(inspect.getsource(module))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if node.module.startswith("dreamdrive")]
    foreign = {alias.name for node in ours for alias in node.names}
    for function in compiled_in(module):
        assert not foreign & set(function.py_func.__code__.co_names), function.__name__


def test_a_tick_compiles_nothing_that_was_not_ready():
    town = load_town("Dream01")
    functions = [function for module in MODULES for function in compiled_in(module)]
    before = [len(function.signatures) for function in functions]
    world = World(town)
    house = town.static_boxes[0]
    for k in range(2):
        at = (house[0] + k, house[1] + k, 0.0)
        world.vehicles.spawn(1000 + k, VEHICLES["vehicle.mini.cooper_s"], list(at), 0.0)
        world.walkers.spawn(2000 + k, list(at), 0.0)
    world.tick(0.05)
    assert {(event.actor, event.other) for event in world.events} >= {
        (1000, 1001), (1000, 2000), (1000, -2),
    }  # fmt: skip
    assert [len(function.signatures) for function in functions] == before


def test_without_a_folder_to_keep_it_in_a_function_is_compiled_all_the_same():
    found = {}
    exec("def double(x):\n    return 2.0 * x", found)
    double = compiled(float64(float64))(found["double"])
    assert double(1.5) == 3.0
    assert double.signatures == [(float64,)]


def test_arguments_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="No matching definition"):
        dynamics.drive(np.zeros(3), np.zeros(3), np.ones(3), 0.05)
