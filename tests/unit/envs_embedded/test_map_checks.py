"""Maps that are broken, endless or hostile are refused, with the line and the reason."""

import math

import pytest

from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.towns import build_town
from dreamdrive.errors import MapError


def road(number=1, *, length=50.0, x=0.0, link="", lane="-1", shape="<line/>", junction="-1"):
    """Returns a road from (x, 0) to the east, in a line of its own."""
    return (
        f'<road name="a" id="{number}" length="{length}" junction="{junction}"><link>{link}</link>'
        f'<planView><geometry s="0" x="{x}" y="0" hdg="0" length="{length}">{shape}</geometry>'
        '</planView><lanes><laneSection s="0"><center><lane id="0" type="none"/></center><right>'
        f'<lane id="{lane}" type="driving"><width sOffset="0" a="3" b="0" c="0" d="0"/></lane>'
        "</right></laneSection></lanes></road>"
    )


def town(*elements):
    return build_town("broken", "\n".join(("<OpenDRIVE>", *elements, "</OpenDRIVE>")))


def link(number, contact="start", kind="road", name="successor"):
    return f'<{name} elementType="{kind}" elementId="{number}" contactPoint="{contact}"/>'


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ([road(1), road(1, x=60)], "Road 1 is broken, line 3: there are two of this number"),
        ([road(1), road(2), '<junction id="2"/>'],
         "Junction 2 is broken, line 4: a road has the same number"),
        ([road(1), '<junction id="7"/>', '<junction id="7"/>'],
         "Junction 7 is broken, line 4: there are two"),
        ([road(5), road(1, link=link(9))],
         "Road 1 is broken, line 3: there is no road '9', its successor"),
        ([road(1, link=link(9, kind="junction", name="predecessor"))],
         "Road 1 is broken, line 2: there is no junction '9', its predecessor"),
        ([road(1, junction=4)], "Road 1 is broken, line 2: there is no junction '4'"),
        ([road(1), '<junction id="2"><connection incomingRoad="1" connectingRoad="6"/></junction>'],
         "Junction 2 is broken, line 3: there is no road '6', its connectingRoad"),
        ([road(1), road(10**12)], "line 3: its id is no number"),
        ([road("one")], "Road one is broken, line 2: its id is no number"),
        ([road(1, lane="-99999999999")], "line 2: lane '-99999999999' has no number"),
        ([road(1), road(2, length=-5)], "Road 2 is broken, line 3: its length is -5.0 m"),
        ([road(1), road(2, length=math.nan)], "Road 2 is broken, line 3: <road> has length='nan'"),
        ([road(1), road(2, length=1e9)], "line 3: roads are longer than 500 km by then"),
        ([road(1, length=1e9, shape='<spiral curvStart="0" curvEnd="0"/>')], "longer than 500 km"),
        ([road(1), road(2, x=1e9)], "The map spans 1000000058 m"),
        # Links that lead in a circle where the roads do not.
        ([road(1, link=link(1))], "line 2: the start of its successor, road 1, is 50 m away"),
        ([road(1, link=link(2)), road(2, x=50.0, link=link(1))],
         "Road 2 is broken, line 3: the start of its successor, road 1, is 100 m away"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(elements, words):
    with pytest.raises(MapError) as caught:
        town(*elements)
    assert words in str(caught.value)


def test_an_entity_is_refused_with_its_line():
    text = '<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY a "b">]>\n<OpenDRIVE>&a;</OpenDRIVE>'
    with pytest.raises(MapError, match="line 2: EntitiesForbidden"):
        parse_opendrive(text)


def test_a_ring_is_a_road_that_leads_to_itself():
    radius = 50.0 / math.pi
    ring = road(
        1, length=100.0, shape=f'<arc curvature="{1 / radius}"/>', x=0.0,
        link=link(1, "end", name="predecessor") + link(1),
    )  # fmt: skip
    assert len(town(ring).spawn_points) == 4


def test_roads_that_follow_each_other_pass():
    first = road(1, link=link(2))
    second = road(2, x=50.0, link=link(1, "end", name="predecessor"))
    assert len(town(first, second).spawn_points) == 4


def test_elements_too_deep_within_each_other_are_refused_where_that_begins():
    deep = "<OpenDRIVE>\n" + "<a>\n" * 300_000
    for text in (deep, deep + "</a>" * 300_000 + "</OpenDRIVE>"):
        with pytest.raises(MapError, match="more than 64 elements lie within each other: line 65"):
            parse_opendrive(text)


def test_depth_is_that_of_open_elements_alone():
    wide = "<userData><a><b/></a></userData>" * 200
    assert parse_opendrive(f"<OpenDRIVE>{wide}{road()}{wide}</OpenDRIVE>").roads.keys() == {1}
    deep = "<a>" * 63 + "</a>" * 63
    assert parse_opendrive(f"<OpenDRIVE>{road()}{deep}</OpenDRIVE>").roads.keys() == {1}
