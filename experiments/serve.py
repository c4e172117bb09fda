"""Runs the embedded server in the foreground until it is interrupted."""

from collections.abc import Sequence

from dreamdrive.envs.embedded.__main__ import main


def serve(arguments: Sequence[str]) -> int:
    """Serves with the options of `python -m dreamdrive.envs.embedded`; returns the exit status."""
    return main(arguments)
