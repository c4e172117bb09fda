import io
import json
import time

from rich.console import Console

from dreamdrive.experiments import run
from dreamdrive.experiments.live_table import MAX_UNDER_WAY, LiveTable, UnderWay
from dreamdrive.experiments.run import RunLog
from support.drives import drive


def shown(table):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    return [line.split("│")[1:-1] for line in console.export_text().splitlines() if "│" in line]


def test_means_are_over_what_counts():
    table = LiveTable({"a": 4, "b": 4})
    table.add(drive("a", completion=100.0))
    table.add(drive("a", completion=50.0, causes=["off_road"], sim_errors=("it froze",)))
    table.add(drive("a", completion=0.0, cause="sim_error", sim_errors=("it froze",)))
    table.add(drive("a", completion=0.0, cause="policy_error", policy_fault="it raised"))
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in shown(table)}
    assert rows["a"] == ["4/4", "50.0", "50.0", "1", "1", "1", "1"]
    assert rows["b"] == ["0/4", "–", "–", "0", "0", "0", "0"]  # noqa: RUF001


def test_what_is_being_driven_is_told():
    began = time.monotonic() - 75.0
    drives = [UnderWay("a", f"T-{i}", began) for i in range(MAX_UNDER_WAY + 2)]
    text = str(LiveTable({"a": 9}, lambda: drives).__rich__().caption)
    assert text.splitlines()[0] == "a on T-0, 1:15"
    assert text.splitlines()[-1] == "and 2 more"


def test_it_stands_above_the_bar_while_a_run_goes_on(tmp_path, monkeypatch):
    screen = Console(width=100, force_terminal=True, file=io.StringIO())
    monkeypatch.setattr(run, "console", screen)
    table = LiveTable({"a": 2})
    with RunLog(tmp_path, "evaluate", 2, "drive", table) as log:
        table.add(drive("a"))
        log(1, {"score": 99.5})
        console = Console(width=100, record=True, file=io.StringIO())
        console.print(*log._progress.get_renderables())
        text = console.export_text()
        assert text.index("100.0") < text.index("1/2 drives")
        assert "99.5" not in text
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["score"] == 99.5
