"""The navigation meshes of a server's towns, made by another process while the world goes on."""

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO

from dreamdrive.envs.embedded.arguments import CallError
from dreamdrive.envs.embedded.navigation.files import navigation_file
from dreamdrive.envs.embedded.navigation.kept import kept_mesh
from dreamdrive.envs.embedded.towns import Town

COMMAND = (sys.executable, "-m", "dreamdrive.envs.embedded.navigation")
MOST_READY = 8


@dataclass(frozen=True, slots=True)
class Making:
    """A mesh that is being made.

    Attributes:
        name: The name of its file.
        process: Who makes it.
        mesh: Where that writes it.
        words: Where that says why it could not.
        files: Closes both.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    mesh: IO[bytes]
    words: IO[bytes]
    files: contextlib.ExitStack


class Meshes:
    """Makes meshes one after the other, and remembers the last ones."""

    def __init__(self) -> None:
        self._ready: dict[str, bytes | CallError] = {}
        self._making: Making | None = None

    def find(self, town: Town) -> bytes | None:
        """Returns a town's mesh, empty if it has none, or None as long as it is being made.

        Raises:
            CallError: If it could not be made; who asks again lets it be tried again.
        """
        name = navigation_file(town)
        self._collect()
        if name not in self._ready and (self._making is None or self._making.name != name):
            kept = kept_mesh(name)
            if kept is not None:
                self._remember(name, kept)
            elif self._making is None:
                self._make(name, town.xodr)
        found = self._ready.get(name)
        if isinstance(found, CallError):
            del self._ready[name]
            raise found
        return found

    def begin(self, town: Town) -> None:
        """Begins to make a town's mesh, if nothing else is being made; what fails is told later."""
        with contextlib.suppress(CallError):
            self.find(town)

    def close(self) -> None:
        """Ends what is being made."""
        if self._making is not None:
            self._making.process.kill()
            self._making.process.wait()
            self._collect()

    def _make(self, name: str, xodr: str) -> None:
        try:
            with contextlib.ExitStack() as files:
                source, mesh, words = (
                    files.enter_context(tempfile.TemporaryFile()) for _ in range(3)
                )
                source.write(xodr.encode())
                source.seek(0)
                process = subprocess.Popen(
                    [*COMMAND, name], stdin=source, stdout=mesh, stderr=words
                )
                self._making = Making(name, process, mesh, words, files.pop_all())
        except OSError as error:
            raise CallError(f"the navigation mesh cannot be made: {error}") from error

    def _collect(self) -> None:
        """Remembers what has been made."""
        made = self._making
        if made is None or made.process.poll() is None:
            return
        self._making = None
        with made.files:
            made.mesh.seek(0)
            made.words.seek(0)
            if made.process.returncode == 0:
                self._remember(made.name, made.mesh.read())
                return
            lines = made.words.read().decode(errors="replace").splitlines()
            why = lines[-1] if lines else f"status {made.process.returncode}"
            self._remember(made.name, CallError(f"the navigation mesh cannot be made: {why}"))

    def _remember(self, name: str, found: bytes | CallError) -> None:
        self._ready[name] = found
        if len(self._ready) > MOST_READY:
            del self._ready[next(iter(self._ready))]
