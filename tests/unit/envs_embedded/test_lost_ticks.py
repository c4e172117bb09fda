import pytest

from dreamdrive.envs.embedded.lost_ticks import LOST_AFTER_S, STEP, SURE_AFTER, TICK, LostTicks

CLIENT, OTHER, PORT, HOST = 7, 8, 8000, "127.0.0.1"


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def woken():
    return []


@pytest.fixture
def lost(clock, woken):
    managers = {PORT: ("1.2.3.4", PORT, CLIENT)}
    made = LostTicks(managers, lambda port, host: woken.append((port, host)), clock)
    for _ in range(SURE_AFTER):
        made.hear(CLIENT, HOST, TICK)
        made.hear(CLIENT, HOST, STEP)
    return made


def test_a_manager_that_sleeps_through_a_tick_is_woken_at_its_clients_address(lost, clock, woken):
    lost.hear(CLIENT, HOST, TICK)
    clock.now_s += 0.9 * LOST_AFTER_S
    assert lost.free() == []
    clock.now_s += 0.2 * LOST_AFTER_S
    assert lost.free() == [PORT]
    assert woken == [(PORT, HOST)]
    assert lost.free() == []
    clock.now_s += LOST_AFTER_S
    assert lost.free() == [PORT]


@pytest.mark.parametrize(
    "calls",
    [
        [(CLIENT, TICK), (CLIENT, STEP)],  # The client thinks, or a person looks at it.
        [(CLIENT, TICK), (CLIENT, "get_weather_parameters"), (CLIENT, STEP)],
        [(OTHER, TICK)],  # It has no manager.
        [],
    ],
)
def test_a_client_that_thinks_is_left_alone(lost, clock, woken, calls):
    for caller, method in calls:
        lost.hear(caller, HOST, method)
    clock.now_s += 1000.0
    assert lost.free() == []
    assert woken == []


def test_a_manager_that_does_not_step_with_every_tick_is_left_alone(lost, clock):
    lost.hear(CLIENT, HOST, TICK)
    lost.hear(CLIENT, HOST, TICK)
    clock.now_s += 1000.0
    assert lost.free() == []


def test_a_client_that_has_gone_is_forgotten(lost, clock):
    lost.hear(CLIENT, HOST, TICK)
    lost.forget(CLIENT)
    clock.now_s += 1000.0
    assert lost.free() == []


def test_a_server_without_managers_sleeps_as_long_as_it_likes(lost):
    assert LostTicks({}).wait_s is None
    assert 0.0 < lost.wait_s < LOST_AFTER_S
