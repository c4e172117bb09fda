import inspect

import pytest

from dreamdrive import errors
from dreamdrive.errors import ConfigError, DreamdriveError, MissingExtraError

KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, DreamdriveError) and kind is not MissingExtraError
]  # fmt: skip


def test_the_sentence_says_what_where_and_what_to_do() -> None:
    error = ConfigError("Unknown field 'x'", where="config.x", do="Known fields: y.")
    assert str(error) == "Unknown field 'x' (config.x). Known fields: y."
    assert str(ConfigError("It is broken")) == "It is broken."


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_crosses_a_process_boundary(kind: type[DreamdriveError]) -> None:
    rebuild, arguments = kind("What", where="there", do="Do this.").__reduce__()
    again = rebuild(*arguments)
    assert type(again) is kind
    assert (again.what, again.where, again.do) == ("What", "there", "Do this.")


def test_a_missing_extra_names_the_line_that_installs_it() -> None:
    error = MissingExtraError("carla", "carla")
    assert "pip install 'dreamdrive[carla]'" in str(error)
    assert isinstance(error, ImportError)
    kind, arguments = error.__reduce__()
    assert str(kind(*arguments)) == str(error)


def test_errors_are_also_what_a_caller_without_us_would_catch() -> None:
    assert issubclass(errors.StorageError, OSError)
    assert issubclass(errors.ActionError, ValueError)
    assert issubclass(errors.CheckpointError, ValueError)
    assert issubclass(errors.ServerError, RuntimeError)
