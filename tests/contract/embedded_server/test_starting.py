"""What the embedded server says about ports, addresses and broken maps before it starts."""

import pytest

from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.errors import MapError
from support.server import server_process


def test_a_taken_port_is_said_in_one_sentence(server):
    with server_process("--port", str(server)) as process:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"Port {server} is taken" in error
        assert "--port" in error
        assert "Traceback" not in error


@pytest.mark.parametrize("port", [65535, 80000, -1])
def test_a_port_that_there_is_not_is_said_in_one_sentence(port):
    with server_process("--port", str(port)) as process:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"There is no port {port} with one after it" in error
        assert "Traceback" not in error


@pytest.mark.parametrize(("host", "is_warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_an_address_that_others_can_reach_is_warned_of(host, is_warned):
    with server_process("--port", "0", "--host", host) as process:
        assert process.stdout.readline().startswith(f"ready {host}:")
        process.kill()
        assert (f"WARNING: listening on {host}" in process.stderr.read()) == is_warned


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<OpenDRIVE><road", "not well-formed"),
        ("plain text", "not well-formed"),
        ("<OpenDRIVE/>", "no roads"),
        (
            '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><OpenDRIVE>&b;</OpenDRIVE>',
            "not well-formed",
        ),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
    ids=["truncated", "not-xml", "no-roads", "bomb", "not-text"],
)
def test_a_broken_map_file_is_said_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "broken.xodr"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MapError, match=words) as caught:
        load_town(str(path))
    assert "broken.xodr" in str(caught.value)


def test_a_map_cut_short_anywhere_is_a_map_error(tmp_path):
    text = load_town("Dream01").xodr
    for share in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / f"cut-{share}.xodr"
        path.write_text(text[: int(len(text) * share)])
        with pytest.raises(MapError, match="not well-formed"):
            load_town(str(path))
