from dataclasses import replace

import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drive_jobs import (
    Conditions,
    DriveJob,
    DriverSettings,
    blank_result,
    served_by,
)
from dreamdrive.experiments.drives import SIM_ERROR, save_drive
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.standing import missing
from support.drives import CONDITIONS, drive

EMBEDDED = DriverSettings(conditions=CONDITIONS, num_routes=1)
UNREAL = replace(EMBEDDED, server="/opt/carla/CarlaUE4.sh")
GIVEN = replace(EMBEDDED, port=2000)


def job(policy="p", route="T-1-000", fingerprint="f", **fields):
    return DriveJob(
        policy=NamedPolicy(policy, policy), fingerprint=fingerprint, town="T", index=0, seed=0,
        route=route, **fields,
    )  # fmt: skip


@pytest.mark.parametrize("before", [EMBEDDED, UNREAL, GIVEN, replace(GIVEN, port=2004)])
@pytest.mark.parametrize("now", [EMBEDDED, UNREAL, GIVEN, replace(GIVEN, host="there")])
@pytest.mark.parametrize("asked", [job(), job("q")], ids=["the same drive", "another policy's"])
def test_servers_do_not_mix_in_a_folder(tmp_path, before, now, asked):
    server = blank_result(job(), before, []).server
    save_drive(tmp_path, drive(server=server))
    if before == now:
        assert missing(tmp_path, [asked], now) == ([] if asked == job() else [asked])
        return
    with pytest.raises(ConfigError) as refused:
        missing(tmp_path, [asked], now)
    text = str(refused.value)
    assert f"another server stand here: {server}, " in text
    assert f"this would drive on {served_by(now, 'T')}" in text
    assert "another --out for this server" in text


def test_a_town_from_another_file_is_another_world(tmp_path):
    path, out = tmp_path / "T.xodr", tmp_path / "out"
    path.write_text("a map")
    settings = replace(EMBEDDED, maps=(path,))
    assert served_by(settings, "U") == "embedded"
    save_drive(out, drive(server=served_by(settings, "T")))
    assert missing(out, [job()], settings) == []
    elsewhere = job("q", "U-1-000")
    assert missing(out, [elsewhere], EMBEDDED) == [elsewhere]
    path.write_text("another map")
    with pytest.raises(ConfigError, match=r"another server stand here: embedded, T\.xodr "):
        missing(out, [job()], settings)


def test_conditions_of_any_policy_in_the_folder_count(tmp_path):
    save_drive(tmp_path, drive("somebody", conditions=Conditions(num_vehicles=7).digest))
    with pytest.raises(ConfigError, match="other conditions"):
        missing(tmp_path, [job()], EMBEDDED)


def test_what_is_driven_again_refuses_nothing(tmp_path):
    save_drive(tmp_path, drive("lost", cause=SIM_ERROR, server="unreal"))
    save_drive(tmp_path, drive("changed", fingerprint="before", server="unreal"))
    save_drive(tmp_path, drive("old"))
    (tmp_path / "drives" / "p").mkdir()
    (tmp_path / "drives" / "p" / "T-1-000-0.json").write_text('{"policy": "p", "cau')
    asked = [job("lost"), job("changed"), job("old"), job("p")]
    assert missing(tmp_path, asked, EMBEDDED) == [asked[0], asked[1], asked[3]]


def test_a_film_that_is_wanted_is_driven_for(tmp_path):
    save_drive(tmp_path, drive())
    save_drive(tmp_path, drive("broken", cause="policy_error", policy_fault="it raised"))
    filmed = job(video=tmp_path / "film.mp4")
    assert missing(tmp_path, [filmed, job("broken", video=tmp_path / "b.mp4")], EMBEDDED) == [
        filmed
    ]
    (tmp_path / "film.mp4").touch()
    assert missing(tmp_path, [filmed], EMBEDDED) == []
