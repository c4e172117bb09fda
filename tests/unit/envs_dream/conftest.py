from pathlib import Path

import pytest

from support.tiny_world import save_tiny_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_world(tmp_path_factory.mktemp("world") / "tiny")
