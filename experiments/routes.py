"""Writes routes of any towns as the leaderboard's XML, in splits that share no town."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamdrive.envs.embedded.towns import DEV_TOWNS, TEST_TOWNS, TRAIN_TOWNS, load_town
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.run import console
from dreamdrive.seeding import numpy_generator

if TYPE_CHECKING:
    from dreamdrive.envs.carla.routes import Route


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutesConfig:
    """Which routes are written, and where."""

    train: tuple[str, ...] = TRAIN_TOWNS
    """Towns of the training split: names of towns that ship, .xodr files, or with --port the
    server's towns."""
    validation: tuple[str, ...] = DEV_TOWNS
    test: tuple[str, ...] = TEST_TOWNS
    routes_per_town: int = 20
    seed: int = 1
    """The same seed gives the same routes on the same maps."""
    length_m: tuple[float, float] = (150.0, 400.0)
    scenarios: tuple[str, ...] = ()
    """Types of scenarios that are placed, by the leaderboard's names, or all; none without it."""
    scenarios_per_route: int = 2
    host: str = "127.0.0.1"
    port: int | None = None
    """RPC port of a running server, whose maps are used."""
    out: Path = Path("routes")

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ConfigError: If one is impossible, or two splits share a town.
        """
        from dreamdrive.envs.carla.scenarios.registry import check_types

        owner: dict[str, str] = {}
        for split, towns in self.splits.items():
            for town in towns:
                name = Path(town).stem
                if name in owner:
                    raise ConfigError(
                        f"{name} is in {owner[name]} and in {split}", where="towns",
                        do="Give each town to one split, once.",
                    )  # fmt: skip
                owner[name] = split
        if not owner or self.routes_per_town < 1 or self.scenarios_per_route < 0:
            raise ConfigError("There is nothing to write: a town and a route are needed")
        if self.scenarios != ("all",):
            check_types(self.scenarios, "scenarios")

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """The towns of each split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def routes(config: RoutesConfig) -> Path:
    """Writes `train.xml`, `validation.xml` and `test.xml` and returns their folder.

    A split without towns has no file.

    Raises:
        MapError: If there is no such town, or its map is broken.
        RouteError: If a map has no route of the wanted length.
        ServerError: If the given server is gone, or does not have a town.
        StorageError: If a file could not be written.
    """
    from dreamdrive.envs.carla.route_xml import save_routes

    with _maps(config) as map_of:
        for split, towns in config.splits.items():
            found = [route for town in towns for route in _routes_of(map_of(town), config)]
            if found:
                save_routes(config.out / f"{split}.xml", found)
                played = sum(len(route.scenarios) for route in found)
                length = sum(route.length_m for route in found) / 1000.0
                console.print(
                    f"{split}: {len(found)} routes, {length:.1f} km, {played} scenarios",
                    highlight=False,
                )
    return config.out


def _routes_of(carla_map: Any, config: RoutesConfig) -> "list[Route]":
    from dreamdrive.envs.carla.routes import fixed_routes
    from dreamdrive.envs.carla.scenarios.registry import SCENARIO_TYPES, placed

    found = fixed_routes(carla_map, config.seed, config.routes_per_town, length_m=config.length_m)
    if not config.scenarios:
        return found
    kinds = SCENARIO_TYPES if config.scenarios == ("all",) else config.scenarios
    played = []
    for route in found:
        rng = numpy_generator(config.seed, "scenarios", route.name)
        order = [kinds[i] for i in rng.permutation(len(kinds))]
        played.append(placed(carla_map, route, order, rng, config.scenarios_per_route))
    return played


@contextlib.contextmanager
def _maps(config: RoutesConfig) -> "Iterator[Callable[[str], Any]]":
    """Yields what returns a town's map: offline, or from a server."""
    from dreamdrive.envs.carla.client import carla

    if config.port is None:

        def offline(town: str) -> Any:
            known = load_town(town)
            return carla.Map(known.name, known.xodr)

        yield offline
        return

    from dreamdrive.envs.carla.session import Session, SessionConfig

    session = Session(SessionConfig(host=config.host, port=config.port))
    try:

        def opened(town: str) -> Any:
            session.open_town(town)
            return session.map

        yield opened
    finally:
        session.close()
