"""What programs of others are run on the embedded server, and how one tells that each worked.

They were written for CARLA's own server, by its authors, and lie in folders that are given by path;
nothing of them is kept here.
"""

from dataclasses import dataclass
from typing import Literal

SHORT_S, LONG_S, STANDING_S = 12.0, 400.0, 1800.0
"""How long a program that never ends by itself is watched; how long another may take; and one that
stands still until the evaluator calls it blocked, 180 s later: 3,600 ticks with three cameras."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One program, run once.

    Attributes:
        script: Its file below the folder that it came in.
        origin: Which of the folders that is.
        arguments: What follows it on the command line; `{folder}`, `{out}` and `{routes}` stand for
            that folder, for the one it is run in and for a file with routes.
        interrupted_s: After how many seconds it gets Ctrl-C, in real time; 0 if it must end by
            itself.
        within_s: How long it may take if it ends by itself.
        keys: What is typed into its window, one key a beat, as pygame names keys, with `ctrl+` or
            `shift+` in front.
        prints: Regular expressions, each of which its output has to match; what a group in one
            of them matches is noted.
        writes: Patterns of files that it has to leave in its folder.
        refused: What the server has to say to it, where it asks for something that there is not.
        towns: Maps without which it is not run.
        follows: Whether it uses the server and the folder of the program before it.
        flaw: What goes wrong in it now and then, whatever the server, which is noted.
    """

    script: str
    origin: Literal["carla", "leaderboard"] = "carla"
    arguments: tuple[str, ...] = ()
    interrupted_s: float = 0.0
    within_s: float = LONG_S
    keys: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    refused: str = ""
    towns: tuple[str, ...] = ()
    follows: bool = False
    flaw: str = ""

    @property
    def title(self) -> str:
        """The script and its arguments."""
        return " ".join((self.script.rsplit("/", 1)[-1], *self.arguments))


def _example(name: str, *arguments: str, **rest: object) -> Program:
    return Program(script=f"PythonAPI/examples/{name}.py", arguments=arguments, **rest)  # type: ignore[arg-type]


def _util(name: str, *arguments: str, **rest: object) -> Program:
    return Program(script=f"PythonAPI/util/{name}.py", arguments=arguments, **rest)  # type: ignore[arg-type]


def _evaluator(agent: str, *arguments: str, within_s: float = LONG_S) -> Program:
    return Program(
        origin="leaderboard", script="leaderboard/leaderboard_evaluator.py",
        arguments=(
            "--routes", "{routes}", "--agent", f"{{folder}}/leaderboard/autoagents/{agent}.py",
            "--checkpoint", "{out}/results.json", "--debug-checkpoint", "{out}/live.txt",
            *arguments,
        ),
        prints=(r"RouteCompletionTest.*?(\d[\d.]* %)",), writes=("results.json",),
        within_s=within_s,
    )  # fmt: skip


WINDOW = ("--res", "320x240")
REACHED = (r"The target has been reached",)
SPAWNED = (r"(spawned \d+ vehicles and \d+ walkers)", r"spawned (?:2\d|30) vehicles")
NOTHING = ("",) * 20
TYPED = (
    "f1", "f1", "h", "h", "tab", "tab", "c", "c", "shift+c", "g", "g", *("n",) * 14, "1", "v",
    "t", "t", "o", "o", "l", "l", "z", "x", "i", "ctrl+w", "ctrl+w", "q", "m", ".", ",", "m", "f",
    "f", "r", "r", "p", "p", "ctrl+r", "ctrl+r", "ctrl+p", "backspace", "escape",
)  # fmt: skip
"""The keys of CARLA's window, but for layers of the map; the last closes it."""

PROGRAMS = (
    _example("generate_traffic", "-n", "30", "-w", "20", "--safe", "--hybrid",
             interrupted_s=SHORT_S, prints=(*SPAWNED, r"destroying \d+ walkers")),
    _example("generate_traffic", "-n", "30", "-w", "20", "--asynch", "--respawn", "--seed", "3",
             "--car-lights-on", interrupted_s=SHORT_S, prints=SPAWNED),
    _example("automatic_control", "--sync", "--agent", "Basic", "--seed", "1", *WINDOW,
             prints=REACHED),
    _example("automatic_control", "--sync", "--agent", "Behavior", "--behavior", "aggressive",
             "--seed", "1", *WINDOW, prints=REACHED),
    _example("automatic_control", "--sync", "--agent", "Behavior", "--behavior", "cautious",
             "--seed", "1", *WINDOW, prints=REACHED),
    _example("automatic_control", "--sync", "--agent", "Constant", "--seed", "1", *WINDOW,
             prints=REACHED),
    _example("automatic_control", "--agent", "Basic", "--seed", "2", "--loop", *WINDOW,
             interrupted_s=SHORT_S),
    _example("manual_control", "--sync", *WINDOW, keys=TYPED),
    _example("manual_control", "--autopilot", *WINDOW, interrupted_s=SHORT_S),
    _example("manual_control", "--filter", "walker.pedestrian.*", "--generation", "all", *WINDOW,
             keys=("tab", "n", "c", "escape")),
    _example("vehicle_gallery"),
    _example("lidar_to_camera", "-f", "20", writes=("_out/*.png",)),
    _example("sensor_synchronization", interrupted_s=SHORT_S, prints=(r"Sensor: radar02",)),
    _example("synchronous_mode", keys=(*NOTHING, "escape"), prints=(r"done",)),
    _example("start_recording", "-n", "10", "-f", "test1.rec", "-t", "8",
             prints=(r"Recording on file", r"(spawned \d+ vehicles)", r"Stop recording")),
    _example("show_recorder_file_info", "-f", "test1.rec", "-a", follows=True,
             prints=(r"Version: \d", r"Map: ", r"(Frames: \d+)", r"Duration: ")),
    _example("show_recorder_collisions", "-f", "test1.rec", follows=True,
             prints=(r"Frames: \d",)),
    _example("show_recorder_actors_blocked", "-f", "test1.rec", follows=True,
             prints=(r"Frames: \d",)),
    _example("start_replaying", "-f", "test1.rec", "-s", "2", "-x", "2.0", follows=True,
             prints=(r"Replaying File",)),
    _example("no_rendering_mode", "--no-rendering", *WINDOW,
             keys=("f1", "h", "h", "i", "tab", "tab", "p", "p", "escape")),
    _example("visualize_multiple_sensors", "--sync", "--res", "640x480",
             keys=(*NOTHING, "escape")),
    _example("vehicle_physics"),
    _example("tutorial", writes=("_out/*.png",), prints=(r"created sensor\.camera", r"done\.")),
    _example("dynamic_weather", interrupted_s=SHORT_S, prints=(r"Sun\(alt",)),
    _example("bounding_boxes", interrupted_s=30.0, keys=(*NOTHING, "2", "", "3", "", "r"),
             prints=(r"done\.",), writes=("_out/*.png",)),
    _example("client_bounding_boxes", interrupted_s=SHORT_S),
    _example("tutorial_gbuffer", refused="the embedded server has no G-buffers"),
    _example("draw_skeleton", interrupted_s=SHORT_S,
             flaw="now and then it waits for its own pool of processes after Ctrl-C, for ever"),
    _example("get_component_test", refused="has no component 'front-blinker-r-1'"),
    _util("test_connection"),
    _util("apply_texture", "-l"),
    _util("check_map"),
    _util("config", "--inspect", prints=(r"vehicles:",)),
    _util("config", "--list"),
    _util("config", "--list-blueprints", "vehicle.*", prints=(r"vehicle\.tesla\.model3",)),
    _util("config", "--map", "Dream02", "--weather", "WetSunset", "--fps", "20", "--no-sync"),
    _util("config", "--reload-map"),
    _util("environment", "--sun", "night", "--cars", "LowBeam"),
    _util("extract_spawn_points", "--output-dir", "{out}", writes=("*",)),
    _util("lane_explorer", interrupted_s=SHORT_S),
    _util("raycast_sensor_testing", "--no-render-window", interrupted_s=SHORT_S),
    _util("check_collisions_substepping", towns=("Town03",)),
    _util("check_raycast_sensors_determinism", towns=("Town03",)),
    _util("check_lidar_bb", towns=("Town03",)),
    _util("vehicle_physics_tester", "--basics", towns=("Town05",)),
    _evaluator("npc_agent"),
    _evaluator("dummy_agent", "--track", "MAP", "--routes-subset", "0", within_s=STANDING_S),
)  # fmt: skip

LEFT_OUT = {
    "config.py --default": "ends with an error of its own before it asks the server",
    "invertedai_traffic.py": "needs an account of a service",
    "manual_control_carsim.py, manual_control_chrono.py": "need CarSim and Chrono",
    "manual_control_fisheye.py": "needs wide-angle cameras, which there are not",
    "manual_control_steeringwheel.py": "needs a steering wheel",
    "open3d_lidar.py": "opens a window through OpenGL",
    "osm_to_xodr.py": "asks no server",
    "performance_benchmark.py": "loads every town of CARLA's own",
    "ros2": "the embedded server does not publish to ROS",
    "rss": "needs a client that was built with RSS",
    "V2XDemo.py, test_addsecondvx.py": "there is no V2X radio",
}
"""Programs that are not run, and why."""
