import importlib

import pytest


@pytest.fixture(scope="session")
def compiled_sensors():
    """Has what cameras and LiDARs run compiled and kept on disk, so that no client waits for it."""
    importlib.import_module("dreamdrive.envs.embedded.render.eyes")
