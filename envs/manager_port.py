"""The port at which a Traffic Manager in a client's process can be called."""

import socket

import msgpack

RPC_DEADLINE_S = 2.0


def switch_off_and_on(manager_port: int, host: str = "127.0.0.1") -> None:
    """Switches a Traffic Manager's synchronous mode off and on.

    Raises:
        OSError: If nothing answers there.
    """
    switch_synchronous(manager_port, False, True, host=host)


def switch_synchronous(manager_port: int, *modes: bool, host: str = "127.0.0.1") -> None:
    """Switches a Traffic Manager's synchronous mode to each value in turn, through its RPC port.

    Raises:
        OSError: If nothing answers there.
    """
    calls = [[0, number, "set_synchronous_mode", [mode]] for number, mode in enumerate(modes)]
    address = (host, manager_port)
    with socket.create_connection(address, timeout=RPC_DEADLINE_S) as connection:
        connection.sendall(b"".join(msgpack.packb(call) for call in calls))
        answers = msgpack.Unpacker()
        num_answers = 0
        while num_answers < len(calls):
            data = connection.recv(4096)
            if not data:
                raise ConnectionError("the Traffic Manager closed the connection")
            answers.feed(data)
            num_answers += sum(1 for _ in answers)
