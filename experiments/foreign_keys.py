"""Runs a pygame program and types keys into its window: `foreign_keys.py KEYS BEAT_S SCRIPT ...`.

It is run by the interpreter of the program, which need not have this project, hence by its path.
Keys are separated by blanks; `-` lets one beat pass.
"""

import runpy
import sys
import threading
import time

import pygame


def type_keys(keys: list[str], beat_s: float) -> None:
    """Posts a press and a release of each key, one a beat, once there is a window."""
    while not (pygame.display.get_init() and pygame.display.get_surface()):
        time.sleep(0.1)
    for key in keys:
        time.sleep(beat_s)
        if key == "-":
            continue
        *held, name = key.split("+")
        code = pygame.key.key_code(name)
        held_mask = sum({"ctrl": pygame.KMOD_LCTRL, "shift": pygame.KMOD_LSHIFT}[k] for k in held)
        pygame.key.set_mods(held_mask)
        for kind in (pygame.KEYDOWN, pygame.KEYUP):
            pygame.event.post(pygame.event.Event(kind, key=code, mod=held_mask, unicode=""))
        print(f"typed {key}", flush=True)


if __name__ == "__main__":
    typed, beat, *sys.argv = sys.argv[1:]
    threading.Thread(target=type_keys, args=(typed.split(), float(beat)), daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")
