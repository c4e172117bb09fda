"""Says what is installed, which device is used, what answers, and how fast it runs here."""

import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.markup import escape
from rich.table import Table

from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.experiments.run import console, installed_versions

if TYPE_CHECKING:
    import gymnasium as gym

    Env = gym.Env[Any, Any]

CORE = (
    "torch", "tensordict", "torchrl", "gymnasium", "numpy", "safetensors", "tensorboard", "tyro",
    "rich", "msgpack", "numba", "defusedxml", "imageio", "matplotlib", "pillow",
)  # fmt: skip
EXTRAS: dict[str, tuple[str, str]] = {
    "carla": ("carla", "CARLA-compatible servers, which demo, collect and evaluate need"),
    "stable-baselines3": ("sb3", "PPO, SAC and others in the dream"),
    "triton": ("triton", "kernels on a GPU"),
    "flash-attn": ("flash", "attention on a GPU"),
    "pygame": ("human", "a window to watch in"),
    "ray": ("ray", "evaluation on several machines"),
}
"""Package to the extra that installs it, and what it is for."""

Verdict = Literal["ok", "missing", "broken", "note"]
MARKS: dict[Verdict, str] = {
    "ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[red]broken[/]",
    "note": "",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorConfig:
    """What is looked at."""

    host: str = "127.0.0.1"
    """Where a CARLA server may be."""
    port: int = 2000
    """Its port."""
    model: Path = Path("dreamdrive-cpu")
    """A shipped checkpoint's name, or the folder of one."""
    seconds: float = 3.0
    """How long each speed is measured."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ConfigError: If a value is impossible.
        """
        if not 0.0 < self.seconds <= 600.0:
            raise ConfigError(f"Expected 0 to 600 seconds, got {self.seconds}", where="seconds")
        if not 0 < self.port < 65535:
            raise ConfigError(f"There is no port {self.port}", where="port")


class Finding(NamedTuple):
    """One line of a table; `broken` is a part that the main job cannot do without."""

    what: str
    verdict: Verdict
    detail: str


def doctor(config: DoctorConfig) -> int:
    """Prints what it finds and returns the exit status: 0 where the main job can run."""
    sections: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
        ("Installed", packages),
        ("Device", device),
        ("CARLA", lambda: servers(config)),
        ("World model", lambda: dream(config)),
    )
    broken = []
    for title, look in sections:
        with console.status(f"{title} …"):
            found = look()
        _print(title, found)
        broken += [finding.what for finding in found if finding.verdict == "broken"]
    if broken:
        console.print(f"[red]Not in order:[/] {escape(', '.join(broken))}")
        return 1
    console.print("[green]In order.[/] Next: dreamdrive demo")
    return 0


def packages() -> list[Finding]:
    """Returns Python, the core packages, and the extras with the line that installs them."""
    version = sys.version_info
    fits: Verdict = "ok" if (3, 11) <= version[:2] < (3, 13) else "note"
    hint = "" if fits == "ok" else "; CARLA's client exists for 3.11 and 3.12 of those we run on"
    found = [Finding("python", fits, platform.python_version() + hint)]
    versions = installed_versions((*CORE, *EXTRAS))
    for name in CORE:
        found.append(
            Finding(name, "ok", versions[name])
            if name in versions
            else Finding(name, "broken", "pip install dreamdrive")
        )
    for name, (extra, purpose) in EXTRAS.items():
        found.append(
            Finding(name, "ok", versions[name])
            if name in versions
            else Finding(name, "missing", f"for {purpose}: pip install 'dreamdrive[{extra}]'")
        )
    return found


def device() -> list[Finding]:
    """Returns the device that will be used, its cores and its memory."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = [
        Finding("cpu", "ok", f"{_cpu_name()}, {cores} cores, {torch.get_num_threads()} threads"),
        Finding("memory", "ok", f"{memory:.1f} GiB"),
        Finding("cpu bf16", "note", _cpu_bf16()),
    ]
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        size = card.total_memory / 2**30
        found.append(Finding("gpu", "ok", f"{card.name}, {size:.0f} GiB, {bf16}"))
    else:
        found.append(Finding("gpu", "note", "none that torch can use: everything runs on the CPU"))
    return found


def servers(config: DoctorConfig) -> list[Finding]:
    """Returns what answers on the port, and the embedded server's speed through the client."""
    try:
        from dreamdrive.envs.carla.client import CLIENT_VERSION
    except DreamdriveError as error:
        return [Finding("client", "broken", str(error))]
    where = f"{config.host}:{config.port}"
    found = [Finding("client", "ok", CLIENT_VERSION)]
    if not _listens(config.host, config.port):
        hint = "nothing answers, and nothing needs to: environments start the embedded server"
        found.append(Finding(where, "note", hint))
    else:
        version = server_version(config.host, config.port)
        if not version:
            found.append(Finding(where, "note", "something listens, but it does not speak CARLA"))
        elif version == CLIENT_VERSION:
            found.append(Finding(where, "ok", f"CARLA {version}"))
        else:
            hint = f"CARLA {version}: start a {CLIENT_VERSION}, which this client speaks"
            found.append(Finding(where, "note", hint))
    try:
        found += _embedded_speed(config.seconds)
    except DreamdriveError as error:
        found.append(Finding("embedded server", "broken", str(error)))
    return found


def server_version(host: str, port: int) -> str:
    """Returns the version of the CARLA server on a port; empty if it is something else."""
    from dreamdrive.envs.carla import greeting

    try:
        return greeting.server_version(host, port)
    except OSError:
        return ""


def _embedded_speed(seconds: float) -> Iterator[Finding]:
    import gymnasium as gym

    from dreamdrive.envs.carla.session import Session, SessionConfig
    from dreamdrive.envs.carla.supervisor import ServerSupervisor

    with ServerSupervisor("Dream01") as supervisor:
        port = supervisor.ensure_ready()
        session = Session(SessionConfig(port=port))
        try:
            ticks = per_second(session.tick, seconds)
        finally:
            session.close()
        yield Finding("embedded server", "ok", f"{ticks:,.0f} ticks/s through the client, empty")
        with _made(gym.make("CarlaDrive-v0", port=port, disable_env_checker=True)) as env:
            decisions = per_second(_stepping(env), seconds)
        yield Finding("CarlaDrive-v0", "ok", f"{decisions:,.0f} decisions/s with 8 vehicles")


def dream(config: DoctorConfig) -> list[Finding]:
    """Returns the checkpoint and the speed of the dream that it makes."""
    import gymnasium as gym

    from dreamdrive.worldmodel.model import find_checkpoint

    try:
        folder = find_checkpoint(config.model)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
        found = [Finding("checkpoint", "ok", f"{config.model}, {size:.1f} MiB")]
        made = gym.make("WorldModelDream-v0", model=str(config.model), disable_env_checker=True)
        with _made(made) as env:
            steps = per_second(_stepping(env), config.seconds)
    except DreamdriveError as error:
        return [Finding("checkpoint", "broken", str(error))]
    return [*found, Finding("WorldModelDream-v0", "ok", f"{steps:,.0f} steps/s, one environment")]


def per_second(call: Callable[[], object], seconds: float) -> float:
    """Returns how often something can be done a second, measured for at least so long."""
    call()
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        call()
        count += 1
    return count / passed


@contextmanager
def _made(env: "Env") -> Iterator["Env"]:
    try:
        yield env
    finally:
        env.close()


def _stepping(env: "Env") -> Callable[[], None]:
    """Returns a function that drives gently forward by one step, over episodes' ends."""
    import numpy as np

    action = np.array([0.0, 0.2], np.float32)
    env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    return step


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2.0):
            return True
    except OSError:
        return False


def _cpu_info(field: str) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(field):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def _cpu_name() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _cpu_bf16() -> str:
    flags = _cpu_info("flags").split()
    fast = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags]
    return f"in hardware ({', '.join(fast)})" if fast else "emulated: bf16 will be slower than f32"


def _print(title: str, found: list[Finding]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    for finding in found:
        table.add_row(escape(finding.what), MARKS[finding.verdict], escape(finding.detail))
    console.print(table)
