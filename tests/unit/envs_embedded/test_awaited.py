from dreamdrive.envs.embedded.awaited import COMING_S, AwaitedStreams


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_client_is_expected_until_it_comes():
    awaited = AwaitedStreams(Clock())
    assert not awaited.are_for(1)
    awaited.ask(1, 7)
    awaited.ask(1, 8)
    awaited.come(7)
    assert awaited.are_for(1)
    assert not awaited.are_for(2)
    awaited.come(8)
    assert not awaited.are_for(1)


def test_each_of_two_listeners_of_a_stream_is_expected():
    awaited = AwaitedStreams(Clock())
    awaited.ask(1, 7)
    awaited.ask(2, 7)
    assert awaited.come(7) == 1
    assert (awaited.are_for(1), awaited.are_for(2)) == (False, True)
    assert (awaited.come(7), awaited.come(7)) == (2, None)


def test_who_does_not_come_is_not_waited_for_for_ever():
    clock = Clock()
    awaited = AwaitedStreams(clock)
    awaited.ask(1, 7)
    clock.now += 0.9 * COMING_S
    assert awaited.are_for(1)
    clock.now += 0.2 * COMING_S
    assert not awaited.are_for(1)


def test_who_has_gone_is_forgotten():
    awaited = AwaitedStreams(Clock())
    awaited.ask(1, 7)
    awaited.forget(1)
    assert not awaited.are_for(1)
