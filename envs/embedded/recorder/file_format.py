"""The file that a recording is: a header, then frames, each with a checksum.

`DREAMREC`, the format's version, then blocks. A block is its length and checksum, its time and
whether it can be read without those before it, and a msgpack object. The first block says which
town it was and how the tables are laid out; each further one is a frame. Files may end in the
middle of a frame, as those of a server that was killed do; the frames before it count.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import numpy as np

from dreamdrive.envs.embedded.bodies import VEHICLE_STATE, WALKER_STATE
from dreamdrive.envs.embedded.lights import JUNCTION_STATE, LIGHT_STATE
from dreamdrive.envs.embedded.towns import Town
from dreamdrive.errors import RecordingError

MAGIC, VERSION = b"DREAMREC", 1
_START = struct.Struct("<8sI")
_BLOCK = struct.Struct("<IIdB")
TABLES = {
    "vehicles": VEHICLE_STATE, "walkers": WALKER_STATE, "lights": LIGHT_STATE,
    "junctions": JUNCTION_STATE,
}  # fmt: skip
"""The tables of a frame. Rows of the last two are numbered as the town has them."""
FOREIGN = "Only files that this server has recorded can be read: CARLA's own logs cannot."


def layout() -> dict[str, list[list[Any]]]:
    """Returns the fields of each table, with the number of words that each takes."""
    return {
        name: [[field, dtype[field].itemsize // 8, dtype[field].base.kind] for field in dtype.names]
        for name, dtype in TABLES.items()
        if dtype.names
    }


def fingerprint(town: Town) -> str:
    """Returns what tells a town's map from others of its name."""
    return hashlib.sha256(town.xodr.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it stands in the file.

    Attributes:
        number: Its place in the file, from 0.
        time_s: Since the recording began.
        is_whole: Whether it can be read without those before it.
        content: Tables and changes, by name.
    """

    number: int
    time_s: float
    is_whole: bool
    content: dict[str, Any]


class RecordingWriter:
    """Writes a recording.

    Args:
        path: The file; one that is there is replaced.
        town: The town that it is about.
        date_s: Seconds since 1970.

    Raises:
        OSError: If it cannot be written.
    """

    def __init__(self, path: Path, town: Town, date_s: float) -> None:
        self.num_bytes = 0
        self._file = path.open("wb")
        start = _START.pack(MAGIC, VERSION)
        self._file.write(start)
        self.num_bytes += len(start)
        header = {
            "town": town.name, "map": fingerprint(town), "date_s": date_s, "tables": layout(),
        }  # fmt: skip
        self.write(0.0, True, header)

    def write(self, time_s: float, is_whole: bool, content: dict[str, Any]) -> None:
        """Adds a block.

        Raises:
            OSError: If it cannot be written.
        """
        data = msgpack.packb(content)
        head = _BLOCK.pack(len(data), zlib.crc32(data), time_s, is_whole)
        self._file.write(head + data)
        self.num_bytes += len(head) + len(data)

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


class RecordingReader:
    """Reads a recording, a frame at a time.

    Args:
        path: The file.

    Attributes:
        town, date_s: As the header has them.
        num_frames, duration_s: Of the whole recording.
        is_cut: Whether the file ends in the middle of a frame.

    Raises:
        RecordingError: If there is no such file, or it is none of this format and version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise RecordingError(
                f"There is no recording to read: {error.strerror}", where=path
            ) from error
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self._read_header()
            self._scan()
        except BaseException:
            self._file.close()
            raise

    def _read_header(self) -> None:
        start = self._file.read(_START.size)
        if len(start) < _START.size or start[: len(MAGIC)] != MAGIC:
            raise RecordingError("This is no recording", where=self.path, do=FOREIGN)
        version = _START.unpack(start)[1]
        found = self._block() if version == VERSION else None
        if found is None:
            raise RecordingError(
                f"The recording has format {version}, or its header is cut short; this server "
                f"reads format {VERSION}", where=self.path, do="Record it again.",
            )  # fmt: skip
        header = found.content
        try:
            self.town, self.map = str(header["town"]), str(header["map"])
            self.date_s, tables = float(header["date_s"]), header["tables"]
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(f"its header lacks {error}") from error
        if tables != layout():
            raise RecordingError(
                "The recording was made by a server that keeps other numbers of a vehicle, walker "
                "or light", where=self.path, do="Record it again with this version.",
            )  # fmt: skip
        self._first = self._file.tell()

    def _broken(self, why: str) -> RecordingError:
        return RecordingError(
            f"The recording is broken: {why}", where=f"{self.path}, byte {self._file.tell()}",
            do="Record it again, or replay the time before.",
        )  # fmt: skip

    def _block(self, number: int = 0) -> Frame | None:
        """Returns the next block, or None where the file ends."""
        head = self._file.read(_BLOCK.size)
        if len(head) < _BLOCK.size:
            return None
        size, checksum, time_s, is_whole = _BLOCK.unpack(head)
        if size > self._size - self._file.tell():
            return None
        data = self._file.read(size)
        if zlib.crc32(data) != checksum:
            raise self._broken("a checksum does not match")
        try:
            content = msgpack.unpackb(data, strict_map_key=False)
        except ValueError as error:
            raise self._broken(str(error)) from error
        if not isinstance(content, dict):
            raise self._broken("a frame holds no table")
        return Frame(number, time_s, bool(is_whole), content)

    def _heads(self) -> Iterator[tuple[int, int, float, bool]]:
        """Yields number, place in the file, time and wholeness of each frame, unread."""
        at, number = self._first, 0
        while True:
            self._file.seek(at)
            head = self._file.read(_BLOCK.size)
            if len(head) < _BLOCK.size:
                self.is_cut = len(head) > 0
                return
            size, _, time_s, is_whole = _BLOCK.unpack(head)
            if at + _BLOCK.size + size > self._size:
                self.is_cut = True
                return
            if not np.isfinite(time_s):
                raise self._broken("a frame has no time")
            yield number, at, time_s, bool(is_whole)
            at, number = at + _BLOCK.size + size, number + 1

    def _scan(self) -> None:
        self.num_frames, self.duration_s, self.is_cut = 0, 0.0, False
        for number, _, time_s, _ in self._heads():
            self.num_frames, self.duration_s = number + 1, time_s
        if not self.num_frames:
            raise self._broken("it has no frame")

    def frames(self, start_s: float = 0.0) -> Iterator[Frame]:
        """Yields frames, from the last that is whole and not after a time.

        Raises:
            RecordingError: If one is broken.
        """
        at, number = self._first, 0
        for count, place, time_s, is_whole in self._heads() if start_s > 0.0 else ():
            if time_s > start_s:
                break
            if is_whole:
                at, number = place, count
        while number < self.num_frames:
            self._file.seek(at)
            frame = self._block(number)
            if frame is None:
                return
            at, number = self._file.tell(), number + 1
            yield frame

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()
