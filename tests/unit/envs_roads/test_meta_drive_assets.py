"""MetaDrive's assets, with a stand-in for the package: there, outdated, or not to be had."""

import sys
from types import ModuleType, SimpleNamespace
from urllib.error import URLError

import gymnasium as gym
import pytest

from dreamdrive.errors import MissingAssetsError

URL = "https://example.org/MetaDrive-0.4.3/assets.zip"


class StandIn:
    """What of MetaDrive looks after its assets, in a folder."""

    def __init__(self, folder, monkeypatch):
        self.assets, self.pulled, self.is_outdated = folder / "assets", [], False
        parts = {
            "metadrive": {"MetaDriveEnv": object},
            "metadrive.engine": {},
            "metadrive.engine.asset_loader": {
                "AssetLoader": SimpleNamespace(
                    asset_path=self.assets, should_update_asset=lambda: self.is_outdated
                )
            },
            "metadrive.pull_asset": {"ASSET_URL": URL, "pull_asset": self.pull},
        }
        for name, members in parts.items():
            module = ModuleType(name)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, name, module)

    def put(self):
        self.assets.mkdir()
        (self.assets / "version.txt").write_text("0.4.3\n")

    def pull(self, update):
        self.pulled.append(update)
        raise URLError("Temporary failure in name resolution")


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    return StandIn(tmp_path, monkeypatch)


def test_assets_that_are_there_are_not_fetched(stand_in):
    stand_in.put()
    gym.make("dreamdrive:MetaDriveDrive-v0").close()
    assert stand_in.pulled == []


@pytest.mark.parametrize("state", ["missing", "outdated", "of no version"])
def test_without_a_network_it_says_what_to_put_where(stand_in, state):
    if state == "of no version":
        stand_in.assets.mkdir()
    if state == "outdated":
        stand_in.put()
        stand_in.is_outdated = True
    with pytest.raises(MissingAssetsError) as caught:
        gym.make("dreamdrive:MetaDriveDrive-v0")
    assert stand_in.pulled == [True]
    assert "name resolution" in caught.value.what
    assert caught.value.where == str(stand_in.assets)
    assert f"Fetch {URL}" in caught.value.do
    assert f"unpack it into {stand_in.assets.parent}" in caught.value.do
