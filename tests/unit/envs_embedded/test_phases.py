import pytest

from dreamdrive.envs.embedded.opendrive import OpenDrive, parse_opendrive
from dreamdrive.envs.embedded.phases import phases_of
from dreamdrive.errors import MapError

NORTH_SOUTH_EAST = [("n", 90.0), ("s", -90.0), ("e", 180.0)]


def plan(junctions, controllers):
    return OpenDrive({}, dict(enumerate(junctions)), controllers)


def test_each_controller_of_a_junction_is_green_in_its_turn():
    drive = plan([["1", "2", "3"]], {"1": ["n", "n"], "2": ["e"], "3": ["s"]})
    assert phases_of(drive, NORTH_SOUTH_EAST) == (((0,), (2,), (1,)),)


def test_lights_of_one_controller_are_green_with_those_that_face_them():
    drive = plan([["1"]], {"1": ["n", "e", "s"]})
    assert phases_of(drive, NORTH_SOUTH_EAST) == (((0, 1), (2,)),)


def test_a_light_has_one_phase_even_where_two_controllers_name_it():
    drive = plan([["1", "2"], ["3"]], {"1": ["n"], "2": ["n", "s"], "3": ["s", "unknown"]})
    assert phases_of(drive, NORTH_SOUTH_EAST) == (((0,), (1,)), ((2,),))


def junction_text(*sequences):
    controllers = "".join(
        f'<controller id="{i}" sequence="{sequence}"/>' for i, sequence in enumerate(sequences)
    )
    return (
        '<OpenDRIVE><road id="1" length="9" junction="-1"><planView><geometry s="0" x="0" y="0" '
        'hdg="0" length="9"><line/></geometry></planView><lanes><laneSection s="0"><center>'
        '<lane id="0" type="none"/></center></laneSection></lanes></road>'
        f'<junction id="5">{controllers}</junction></OpenDRIVE>'
    )


def test_controllers_take_turns_in_the_sequence_that_the_map_gives():
    drive = parse_opendrive(junction_text(2, 0, 1))
    assert drive.junction_controllers == {5: ["1", "2", "0"]}


def test_a_sequence_that_is_no_number_is_refused():
    with pytest.raises(MapError, match="junction is broken"):
        parse_opendrive(junction_text("first"))
