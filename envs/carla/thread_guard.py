"""Keeps a thread of the client whose server has died from ending the whole process.

The Traffic Manager calls the server from a thread of its own and lets the error of a failed call
escape it, which C++ answers with `std::terminate`: a dead server would take the training run with
it. So does a stream that is closed from two sides at once, when a client goes. The handler
installed here ends such a thread instead, and it alone; in the main thread everything stays as it
was.

Such a thread ends by the system call itself: `pthread_exit` would unwind the stack, on which C++
has just found that nobody takes the error, and a thread that slept for ever would hang whoever
joins it, as the client does with its own when it is destroyed. Another thread may get its stack, so
what libraries keep of it by key, as Python does, is forgotten. The handler is compiled, so that
Python never learns of a thread that will not come back.
"""

import ctypes
import platform
from typing import Any

from numba import cfunc, types

_SET_TERMINATE = "_ZSt13set_terminatePFvvE"
"""`std::set_terminate(void (*)())`."""

_EXIT_THREAD = {"x86_64": 60, "aarch64": 93}.get(platform.machine(), 0)
"""The number of Linux' `exit`, which ends one thread."""
_NUM_KEYS = 1024
"""`PTHREAD_KEYS_MAX` of Linux."""


def _of_c(name: str, result: Any, *arguments: Any) -> Any:
    """Returns a function of the C library."""
    return types.ExternalFunction(name, result(*arguments))


_call = _of_c("syscall", types.int64, types.int64, types.int64)
_process = _of_c("getpid", types.int32)
_thread = _of_c("gettid", types.int32)
_abort = _of_c("abort", types.void)
_set_key = _of_c("pthread_setspecific", types.int32, types.uint32, types.intp)

_installed: list[Any] = []
"""The handler must outlive every thread of the client."""


def _end_thread() -> None:
    if _thread() == _process():
        _abort()
    for key in range(_NUM_KEYS):
        _set_key(key, 0)
    _call(_EXIT_THREAD, 0)


def guard_threads() -> bool:
    """Installs the handler, once; returns whether it can be on this machine."""
    if _installed:
        return True
    try:
        set_terminate = getattr(ctypes.CDLL("libstdc++.so.6"), _SET_TERMINATE)
    except (OSError, AttributeError):
        return False
    if not _EXIT_THREAD:
        return False
    handler = cfunc(types.void())(_end_thread)
    set_terminate.restype, set_terminate.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    set_terminate(handler.address)
    _installed.append(handler)
    return True
