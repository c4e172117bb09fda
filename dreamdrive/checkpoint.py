"""A checkpoint is a folder: `config.json` and safetensors, written aside and renamed."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamdrive.errors import CheckpointError, StorageError
from dreamdrive.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 1


def git_commit() -> str:
    """Returns the commit of the source tree, or an empty string outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "--short=12", "HEAD"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find_checkpoint(name_or_path: str | Path, shipped: Path) -> Path:
    """Returns the folder of a checkpoint: a path where there is one, else a shipped name.

    Args:
        name_or_path: Which.
        shipped: The folder of the shipped ones.

    Raises:
        CheckpointError: If there is neither.
    """
    path = Path(name_or_path)
    if (path / "config.json").is_file():
        return path
    if (shipped / name_or_path / "config.json").is_file():
        return shipped / name_or_path
    names = ", ".join(sorted(p.name for p in shipped.glob("*") if p.is_dir())) or "none"
    raise CheckpointError(
        "There is no such checkpoint", where=name_or_path,
        do=f"Give a folder that holds config.json, or a shipped name ({names}).",
    )  # fmt: skip


def save_checkpoint(
    folder: Path,
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, "Tensor"]],
    texts: Mapping[str, str] | None = None,
    **facts: Any,
) -> None:
    """Writes a checkpoint folder, replacing an older one at the same place in one rename.

    Args:
        folder: Where it shall stand.
        kind: What it holds, for example `"WorldModel"`.
        config: The configuration, as plain JSON types.
        tensors: One safetensors file for each entry: `{"model": state_dict}`.
        texts: Further files, by name: `{"README.md": page}`.
        **facts: Further JSON facts, for example `step=1000`.

    Raises:
        StorageError: If it could not be written; an older checkpoint is intact.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    header = {"schema": SCHEMA, "class": kind, "config": dict(config), "git": git_commit(), **facts}
    try:
        temporary.mkdir(parents=True)
        header_path = temporary / "config.json"
        write_atomically(header_path, (json.dumps(header, indent=2) + "\n").encode())
        for file, text in (texts or {}).items():
            write_atomically(temporary / file, text.encode())
        for name, state in tensors.items():
            flat = {key: value.detach().cpu().contiguous() for key, value in state.items()}
            path = temporary / f"{name}.safetensors"
            save_file(flat, str(path))
            # save_file keeps others from reading it, and a shipped checkpoint is for everyone.
            shutil.copymode(header_path, path)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        cause = error.what if isinstance(error, StorageError) else error
        raise StorageError(
            f"Could not write the checkpoint: {cause}", where=folder,
            do="Free some space or choose another folder, then run the same command again.",
        ) from error  # fmt: skip


def load_header(folder: Path, kind: str) -> dict[str, Any]:
    """Returns what `config.json` of a checkpoint says.

    Raises:
        CheckpointError: If it is missing, unreadable, of another class or of another schema.
    """
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            "There is no checkpoint here", where=folder,
            do="Give the folder that holds config.json, or the name of a shipped checkpoint.",
        )  # fmt: skip
    try:
        header: dict[str, Any] = json.loads(path.read_text())
        schema, found = header["schema"], header["class"]
        header["config"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(f"The header is broken: {error!r}", where=path) from error
    if schema != SCHEMA:
        raise CheckpointError(
            f"The checkpoint has schema {schema}, this version reads {SCHEMA}", where=path,
            do="Use the version of dreamdrive that wrote it, or train again.",
        )  # fmt: skip
    if found != kind:
        raise CheckpointError(f"This is a checkpoint of {found}, not of {kind}", where=folder)
    return header


def load_facts(folder: Path, kind: str) -> dict[str, Any]:
    """Returns what `config.json` tells beside the configuration: data, steps, scores.

    Raises:
        CheckpointError: As `load_header` does.
    """
    header = load_header(folder, kind)
    return {k: v for k, v in header.items() if k not in ("schema", "class", "config", "git")}


def load_tensors(folder: Path, name: str) -> dict[str, "Tensor"]:
    """Returns the tensors of one safetensors file of a checkpoint.

    Raises:
        CheckpointError: If the file is missing or truncated.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / f"{name}.safetensors"
    try:
        return load_file(str(path))
    except FileNotFoundError as error:
        raise CheckpointError("A file of the checkpoint is missing", where=path) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The file is truncated or damaged: {error}", where=path,
            do="Copy the checkpoint again or train it again.",
        ) from error  # fmt: skip
