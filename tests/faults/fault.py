"""What a planted fault is."""

from typing import NamedTuple


class Fault(NamedTuple):
    """One line that is wrong, and the tests that ought to say so."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str
