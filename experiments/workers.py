"""Spreads work over processes: each does its part in order and sends its results as they come."""

import ctypes
import itertools
import multiprocessing
import os
import queue
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from dreamdrive.errors import DreamdriveError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Any, list[Item]], Iterator[Result]]
"""Takes a config and some items; yields a result for each."""

WAIT_S = 5.0

END_WITH_PARENT = 1
"""`PR_SET_PDEATHSIG` of prctl(2)."""


def spread(
    work: Work[Item, Result], config: Any, items: Sequence[Item], num_workers: int
) -> Iterator[Result]:
    """Yields the results of `work(config, items)`, from several processes where asked for.

    Args:
        work: A function of a module, which a new process can import.
        config: Its first argument.
        items: Divided into even parts, one for each process.
        num_workers: How many processes; 1 works in this one.

    Raises:
        DreamdriveError: What `work` raised.
        WorkerError: If a process ended without a word, or failed otherwise.
    """
    if not items:
        return
    if num_workers == 1:
        yield from work(config, list(items))
        return
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    bounds = np.linspace(0, len(items), min(num_workers, len(items)) + 1).round().astype(int)
    parts = [list(items[a:b]) for a, b in itertools.pairwise(bounds)]
    workers = [
        context.Process(target=_run, args=(work, config, part, results, os.getpid()), daemon=True)
        for part in parts
    ]
    for worker in workers:
        worker.start()
    running = len(workers)
    try:
        while running:
            try:
                is_last, result = results.get(timeout=WAIT_S)
            except queue.Empty:
                codes = [worker.exitcode for worker in workers]
                if any(code not in (None, 0) for code in codes) or None not in codes:
                    raise WorkerError(
                        "A worker ended without a word",
                        do="Run the same command again: what is finished is kept. If it was "
                        "killed for memory, use fewer workers.",
                    ) from None
                continue
            if isinstance(result, DreamdriveError):
                raise result
            if is_last:
                running -= 1
            else:
                yield result
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()


def end_with(parent: int) -> None:
    """Has the system end this process with its parent: nobody else may write where that one did."""
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _run(
    work: Work[Item, Result], config: Any, items: list[Item], results: Any, parent: int
) -> None:
    """A worker process: sends (False, result) for each item, then (True, None) or an error."""
    end_with(parent)
    try:
        import torch

        torch.set_num_threads(1)
        for result in work(config, items):
            results.put((False, result))
        results.put((True, None))
    except DreamdriveError as error:
        results.put((True, error))
    except Exception:
        results.put((True, WorkerError("A worker failed", where=traceback.format_exc(limit=3))))
