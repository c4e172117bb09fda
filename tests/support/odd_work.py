"""Work for other processes, good and bad."""

import os
import threading


def doubled(config, items):
    yield from (config * item for item in items)


def vanishing(config, items):
    """Gives its first result and ends its process with the exit code that the config names."""
    yield items[0]
    os._exit(config)


def failing(config, items):
    yield items[0]
    raise ZeroDivisionError("no reason")


def naming_itself(config, items):
    """Tells the number of its process, and is never done."""
    yield os.getpid()
    threading.Event().wait()
