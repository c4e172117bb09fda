"""XML of unknown origin, safely, with the line of every element for error messages."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from dreamdrive.errors import RouteError


class Element:
    """An element of a file, which knows the line that it begins on.

    Args:
        path: The file.
        line: Number of the line, from 1.
        tag: Its name.
        attributes: Its attributes.
    """

    def __init__(self, path: Path, line: int, tag: str, attributes: dict[str, str]) -> None:
        self.line, self.tag, self.attributes = line, tag, attributes
        self._path = path
        self._children: list[Element] = []

    def add(self, child: "Element") -> None:
        """Takes a child."""
        self._children.append(child)

    def get(self, name: str) -> str:
        """Returns an attribute; empty if it is missing."""
        return self.attributes.get(name, "").strip()

    def number(self, name: str, default: float | None = None) -> float:
        """Returns an attribute as a finite number.

        Raises:
            RouteError: If it is none, or missing without a default.
        """
        text = self.attributes.get(name)
        if text is None and default is not None:
            return default
        if text is None:
            raise self.error(f"This {self.tag} is broken: it has no {name}", do=f'Write {name}="".')
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(
                f"This {self.tag} is broken: {name} is {text!r}", do="Write a finite number."
            )
        return value

    def children(self, tag: str = "") -> list["Element"]:
        """Returns the children of a name, or all."""
        return [child for child in self._children if not tag or child.tag == tag]

    def path(self, *tags: str) -> list["Element"]:
        """Returns the elements that a path of names leads to."""
        found = [self]
        for tag in tags:
            found = [child for parent in found for child in parent.children(tag)]
        return found

    def all(self, tag: str) -> Iterator["Element"]:
        """Yields this element and all below it that have a name."""
        if self.tag == tag:
            yield self
        for child in self._children:
            yield from child.all(tag)

    def error(self, what: str, *, do: str) -> RouteError:
        """Returns an error that names the file and the line."""
        return RouteError(what, where=f"{self._path}:{self.line}", do=do)


class _Builder:
    """What the parser tells of elements, made to a tree."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: list[Element] = []
        self._root: Element | None = None
        self.parser: Any = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(self._path, self.parser.CurrentLineNumber, tag, dict(attributes))
        if self._open:
            self._open[-1].add(element)
        else:
            self._root = element
        self._open.append(element)

    def end(self, tag: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        pass

    def close(self) -> Element | None:
        return self._root


def parse_xml(path: Path) -> Element:
    """Returns the root of an XML file; entities and external references are refused.

    Raises:
        RouteError: If the file is missing, cannot be read, or is no XML or none that is safe.
    """
    builder = _Builder(path)
    parser = defusedxml.ElementTree.XMLParser(target=builder)
    builder.parser = parser.parser
    try:
        parser.feed(Path(path).read_bytes())
        root = parser.close()
    except FileNotFoundError as error:
        raise RouteError("There is no such route file", where=path) from error
    except OSError as error:
        raise RouteError(f"The route file cannot be read: {error.strerror}", where=path) from error
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise RouteError(
            f"This is not a safe XML file: {error}", where=f"{path}:{line}",
            do="Mend it there; an editor that checks XML shows what is missing.",
        ) from error  # fmt: skip
    except (DefusedXmlException, LookupError, ValueError) as error:
        raise RouteError(
            f"This is not a safe XML file: {error}", where=path,
            do="Route files need neither entities nor external references: remove them.",
        ) from error  # fmt: skip
    assert isinstance(root, Element)
    return root
