"""Keeps a thread of the client whose server has died from ending the whole process.

The Traffic Manager calls the server from a thread of its own and lets the error of a failed call
escape it, which C++ answers with `std::terminate`: a dead server would take the training run with
it. The handler installed here puts such a thread to sleep for ever instead; in the main thread
everything stays as it was.
"""

import ctypes
import ctypes.util
import os
import threading

_SET_TERMINATE = "_ZSt13set_terminatePFvvE"
"""`std::set_terminate(void (*)())`."""

_HANDLER = ctypes.CFUNCTYPE(None)
_installed: list[object] = []
"""The handler must outlive every thread of the client."""


def guard_threads() -> bool:
    """Installs the handler, once; returns whether the C++ library has a place for it."""
    if _installed:
        return True
    try:
        library = ctypes.CDLL("libstdc++.so.6")
        pause = ctypes.CDLL(None).pause
        set_terminate = getattr(library, _SET_TERMINATE)
    except (OSError, AttributeError):
        return False

    def handle() -> None:
        if threading.get_ident() == threading.main_thread().ident:
            os.abort()
        while True:
            pause()

    handler = _HANDLER(handle)
    set_terminate.restype, set_terminate.argtypes = ctypes.c_void_p, [_HANDLER]
    set_terminate(handler)
    _installed.append(handler)
    return True
