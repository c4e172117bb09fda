"""What drives on a machine of a Ray cluster: a process and its server, watched on that machine."""

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dreamdrive
from dreamdrive.errors import DreamdriveError
from dreamdrive.experiments.drive_jobs import DriveJob, DriverSettings
from dreamdrive.experiments.drive_pool import DrivePool
from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.log_writer import unfinished
from dreamdrive.experiments.policies import NamedPolicy, fingerprint
from dreamdrive.experiments.run import PACKAGES, installed_versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What comes back of one drive: no file system need be shared.

    Attributes:
        result: What it came to.
        log: Its event log, unfinished; None where there is none.
        film: The video's bytes; None where none was made.
    """

    result: DriveResult
    log: bytes | None = None
    film: bytes | None = None


class RayDriver:
    """A crew of one in a Ray actor.

    The actor only watches, as the evaluation itself does on one machine: a policy that hangs or a
    server that dies is dealt with here, and needs no new actor.

    Args:
        settings: Where and how drives are made.
        folder: The working folder of the evaluation, which relative paths refer to.
        paths: Where it finds modules: a policy may be one of somebody's own.
    """

    def __init__(self, settings: DriverSettings, folder: str, paths: Sequence[str]) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        sys.path += [path for path in paths if path not in sys.path]
        self._pool = DrivePool(settings, 1, keep=True)
        self._settings = settings

    def greet(self, policies: Sequence[NamedPolicy]) -> dict[str, str]:
        """Returns what this machine would drive with, as `ingredients` does."""
        return ingredients(self._settings, policies)

    def drive(self, job: DriveJob) -> Delivery | DreamdriveError:
        """Returns what a drive came to, or the error that ends the evaluation."""
        with tempfile.TemporaryDirectory(prefix="dreamdrive-") as folder:
            log, film = Path(folder) / "drive.jsonl", Path(folder) / "drive.mp4"
            here = replace(job, log=job.log and log, video=job.video and film)
            try:
                (result,) = self._pool.drive([here])
            except DreamdriveError as error:
                return error
            return Delivery(result=result, log=_content(unfinished(log)), film=_content(film))


def ingredients(settings: DriverSettings, policies: Sequence[NamedPolicy]) -> dict[str, str]:
    """Returns digests of all that a result depends on and that lies on each machine by itself.

    They are the versions of the packages, this package's code, the files of the policies, of the
    routes and of the maps.
    """
    found = {f"the version of {name}": text for name, text in installed_versions(PACKAGES).items()}
    root = Path(dreamdrive.__file__).parent
    # Its folders may be links, which rglob does not enter.
    code = {path for part in [root, *root.iterdir()] for path in part.rglob("*.py")}
    found["the code of dreamdrive"] = _digest(sorted(code))
    for named in policies:
        found[f"the policy {named.name!r}"] = fingerprint(named.spec, settings.planner)
    for path in settings.maps:
        found[f"the map {path}"] = _digest([path])
    if settings.choice is not None:
        files = [settings.choice.path, settings.choice.triggers]
        found[f"the routes {files[0]}"] = _digest([path for path in files if path is not None])
    return found


def _digest(paths: Sequence[Path]) -> str:
    """Returns a digest of files in the order given; one that is not there counts as such."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        content = _content(path)
        digest.update(b"-" if content is None else b"+" + content)
    return digest.hexdigest()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
