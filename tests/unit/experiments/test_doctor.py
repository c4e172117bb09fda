import socket
from pathlib import Path

import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments import doctor as module
from dreamdrive.experiments.doctor import (
    CORE,
    EXTRAS,
    DoctorConfig,
    Finding,
    device,
    doctor,
    dream,
    packages,
    per_second,
)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """A doctor that looks at the packages only, and what it printed."""
    printed: list[Finding] = []
    monkeypatch.setattr(module, "device", lambda: [])
    monkeypatch.setattr(module, "servers", lambda config: [])
    monkeypatch.setattr(module, "dream", lambda config: [])
    monkeypatch.setattr(module, "_print", lambda title, found: printed.extend(found))
    return printed


def test_what_is_installed_has_its_version() -> None:
    found = {finding.what: finding for finding in packages()}
    assert found["torch"].verdict == "ok"
    assert found["torch"].detail[0].isdigit()
    assert found["python"].verdict == "ok"
    assert {*CORE, *EXTRAS} <= found.keys()


def test_a_missing_extra_comes_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        module, "installed_versions",
        lambda names: {name: "1.0" for name in names if name != "stable-baselines3"},
    )  # fmt: skip
    found = {finding.what: finding for finding in packages()}["stable-baselines3"]
    assert found.verdict == "missing"
    assert "pip install 'dreamdrive[sb3]'" in found.detail


def test_a_missing_core_package_is_an_error_and_a_missing_extra_is_none(
    monkeypatch: pytest.MonkeyPatch, quiet: list[Finding]
) -> None:
    absent = {"pygame"}
    monkeypatch.setattr(
        module, "installed_versions", lambda names: {n: "1.0" for n in names if n not in absent}
    )
    assert doctor(DoctorConfig()) == 0
    absent.add("msgpack")
    assert doctor(DoctorConfig()) == 1
    assert Finding("msgpack", "broken", "pip install dreamdrive") in quiet


def test_the_device_names_its_memory() -> None:
    found = {finding.what: finding.detail for finding in device()}
    assert "cores" in found["cpu"]
    assert float(found["memory"].removesuffix(" GiB")) > 0.1
    assert {"cpu bf16", "gpu"} <= found.keys()


def test_a_missing_checkpoint_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (finding,) = dream(DoctorConfig(model=tmp_path / "none"))
    assert finding.verdict == "broken"
    assert "config.json" in finding.detail


def test_nothing_on_the_port_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_embedded_speed", lambda seconds: iter(()))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        found = module.servers(DoctorConfig(port=port))
    assert [finding.verdict for finding in found] == ["ok", "note"]
    assert "nothing answers" in found[1].detail


@pytest.mark.parametrize(
    ("version", "verdict", "said"),
    [
        ("0.9.16", "ok", "CARLA 0.9.16"),
        ("0.9.15", "note", "start a 0.9.16"),
        ("", "note", "does not speak CARLA"),
    ],
)
def test_what_answers_on_the_port(
    version: str, verdict: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_embedded_speed", lambda seconds: iter(()))
    monkeypatch.setattr(module, "_listens", lambda host, port: True)
    monkeypatch.setattr(module, "server_version", lambda host, port: version)
    found = module.servers(DoctorConfig())[1]
    assert found.verdict == verdict
    assert said in found.detail


def test_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def call() -> None:
        now[0] += 0.25

    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    assert per_second(call, 2.0) == pytest.approx(4.0)


@pytest.mark.parametrize("fields", [{"seconds": 0.0}, {"port": 0}, {"port": 70000}])
def test_impossible_values(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        DoctorConfig(**fields)  # type: ignore[arg-type]
