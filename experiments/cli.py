"""The command `dreamdrive`: finds what was asked for, and loads that and nothing else."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamdrive import __version__
from dreamdrive.errors import DreamdriveError

FAILED, INTERRUPTED = 2, 130


class Command(NamedTuple):
    """One command: `module.function(module.config(...))`.

    Attributes:
        module: Name below `dreamdrive.experiments`.
        config: Name of the dataclass whose fields are the options; empty where the function takes
            the arguments themselves.
        summary: One line for the list.
        examples: Lines for `--help`, without the program's name.
        with_env: What the command is where `--env ID` is given: the same for any Gymnasium
            environment.
        has_presets: Whether `--preset NAME` says which sizes the options begin from; the config
            has a function `begun_with` then.
    """

    module: str
    config: str
    summary: str
    examples: tuple[str, ...]
    with_env: "Command | None" = None
    has_presets: bool = False

    @property
    def function(self) -> str:
        """The function, named as its module."""
        return self.module


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "demo", "DemoConfig", "The main job from end to end, with a report at its end.",
        ("demo", "demo --quick", "demo --out runs/mine --seed 3"),
    ),
    "doctor": Command(
        "doctor", "DoctorConfig", "What is installed, what answers, and how fast it runs.",
        ("doctor", "doctor --port 2000", "doctor --seconds 10"),
    ),
    "serve": Command(
        "serve", "", "The embedded server, which speaks CARLA 0.9.16's protocol.",
        ("serve", "serve --town Dream03 --port 2000", "serve --town my_town.xodr --sync"),
    ),
    "collect": Command(
        "collect", "CollectConfig", "Records episodes through the CARLA client.",
        (
            "collect --out data/train", "collect --out data/mine --port 2000 --workers 1",
            "collect --env Pendulum-v1 --out data/pendulum", "collect --env Pendulum-v1 --help",
        ),
        Command(
            "collect_env", "CollectEnvConfig", "Records episodes of any Gymnasium environment.",
            (
                "collect --env Pendulum-v1 --out data/pendulum",
                "collect --env my_package:My-v0 --policies held runs/agent/policy --episodes 500",
                """collect --env CarRacing-v3 --env-options '{"continuous": false}'""",
            ),
        ),
    ),
    "train tokenizer": Command(
        "train_tokenizer", "TrainTokenizerConfig", "Learns to compress frames.",
        (
            "train tokenizer --data data/train --out runs/tokenizer",
            "train tokenizer --data data/train --out runs/small --steps 2000",
            "train tokenizer --preset nano --data data/train --out runs/nano/tokenizer",
        ),
        has_presets=True,
    ),
    "train worldmodel": Command(
        "train_worldmodel", "TrainWorldModelConfig", "Learns what an action leads to.",
        (
            "train worldmodel --data data/train --init runs/tokenizer/model",
            "train worldmodel --data data/mine --init dreamdrive-cpu --fine-tune --steps 500",
            "train worldmodel --preset nano --data data/train --init runs/nano/tokenizer/model",
        ),
        has_presets=True,
    ),
    "train student": Command(
        "train_student", "TrainStudentConfig", "Distils a dream of several steps into one step.",
        (
            "train student --teacher runs/worldmodel/model --data data/train",
            "train student --teacher dreamdrive-cpu --data data/mine --steps 500",
        ),
    ),
    "train agent": Command(
        "train_agent", "TrainAgentConfig", "Trains a policy inside the dream.",
        (
            "train agent --data data/train --out runs/agent",
            "train agent --model runs/worldmodel/model --clone expert --updates 300 --seed 1",
            "train agent --model runs/worldmodel/model --control untrained --out runs/sham",
        ),
    ),
    "dream": Command(
        "dream", "DreamConfig", "Writes a video of the dream beside reality.",
        ("dream --data data/test", "dream --model runs/worldmodel/model --data data/test"),
    ),
    "routes": Command(
        "routes", "RoutesConfig", "Writes routes in the leaderboard's XML, split by town.",
        (
            "routes --scenarios all --out routes",
            "routes --train Town01.xodr --validation Town02.xodr --test Dream07",
        ),
    ),
    "evaluate": Command(
        "evaluate", "EvaluateConfig", "Drives policies closed loop on held-out routes.",
        (
            "evaluate --policies expert standing runs/agent/policy --out runs/evaluation",
            "evaluate --policies before=runs/a/policy after=runs/b/policy",
            "evaluate --policies expert --scorers leaderboard-2.1 nuplan-comfort",
            "evaluate --policies runs/agent/policy --ray auto --workers 32",
            "evaluate --env Pendulum-v1 --policies random runs/agent/policy",
            "evaluate --env Pendulum-v1 --help",
        ),
        Command(
            "evaluate_env", "EvaluateEnvConfig", "Plays policies in any Gymnasium environment.",
            (
                "evaluate --env Pendulum-v1 --policies random agent=runs/agent/policy",
                "evaluate --env CartPole-v1 --policies ppo.zip my_module:factory --episodes 100",
            ),
        ),
    ),
    "leaderboard": Command(
        "leaderboard", "LeaderboardConfig",
        "Drives a policy under the unmodified public CARLA leaderboard.",
        (
            "leaderboard --leaderboard leaderboard --scenario-runner scenario_runner "
            "--carla CARLA/PythonAPI/carla --routes routes/validation.xml",
        ),
    ),
    "rescore": Command(
        "rescore", "RescoreConfig", "Scores drives again from their event logs, by any scorer.",
        (
            "rescore runs/evaluate --scorers leaderboard-1.0 leaderboard-2.0 leaderboard-2.1",
            "rescore runs/evaluate --scorers bench2drive-corrected --out runs/scores",
        ),
    ),
    "compare": Command(
        "compare", "CompareConfig", "Says whether two policies really differ, route by route.",
        (
            "compare runs/new:agent runs/old:agent",
            "compare runs/evaluate:agent runs/evaluate:expert --worst 20",
            "compare runs/a runs/b --scorers leaderboard-2.1 nuplan-comfort --out runs/a-b.json",
        ),
    ),
    "improve": Command(
        "improve", "ImproveConfig", "Rounds of: collect with the agent, retrain, improve again.",
        (
            "improve --rounds 1",
            "improve --policy runs/agent/policy --rounds 3 --out runs/improve",
        ),
    ),
    "report": Command(
        "report", "ReportConfig", "One HTML file with tables, curves and videos.",
        ("report --run runs/demo-quick", "report --run runs --out runs/all.html"),
    ),
    "bench": Command(
        "bench", "BenchConfig", "Measures server, environment and dream; a table and JSON.",
        ("bench", "bench --out runs/bench"),
    ),
    "bench kernels": Command(
        "bench_kernels", "BenchKernelsConfig", "Times each kernel on a GPU, or says its bound.",
        ("bench kernels", "bench kernels --json", "bench kernels --preset nano --compile"),
    ),
    "bench engines": Command(
        "bench_engines", "BenchEnginesConfig",
        "Times each way of computing a step of the dream, and others' environments.",
        ("bench engines", "bench engines --peers torchrl-rssm diamond=../diamond/src"),
    ),
    "truth": Command(
        "truth", "TruthConfig", "Measures whether the dream tells the truth.",
        (
            "truth --data data/test --out runs/truth",
            "truth --model shipped=dreamdrive-cpu mine=runs/worldmodel/model --data data/test",
        ),
    ),
    "calibrate": Command(
        "calibrate", "CalibrateConfig",
        "Turns the world model's uncertainty into a probability, on held-out episodes.",
        (
            "calibrate --data data/development",
            "calibrate --model runs/worldmodel/model --data data/development --out runs/calibrated",
        ),
    ),
    "average": Command(
        "average", "AverageConfig",
        "Averages the weights of a world model and of what was fine-tuned from it.",
        ("average --models dreamdrive-cpu runs/worldmodel/model --shares 0.3 0.7",),
    ),
    "ablate": Command(
        "ablate", "AblateConfig", "Measures what each part of the world model is worth.",
        (
            "ablate --data data/train --test data/test --out runs/ablate",
            'ablate --variants "without QK-norm" "with JEPA" --seeds 0 1 2 --steps 600',
        ),
    ),
    "ablate tokenizer": Command(
        "ablate_tokenizer", "AblateTokenizerConfig",
        "Measures what each part of the tokenizer is worth.",
        (
            "ablate tokenizer --data data/train --test data/test",
            'ablate tokenizer --variants "with ViViT\'s tubelets" --seeds 0 1 2 --steps 2000',
        ),
    ),
    "scale": Command(
        "scale", "ScaleConfig", "Measures loss against parameters and compute, over sizes.",
        (
            "scale --data data/train --test data/test --out runs/scale",
            "scale --sizes 64x4 96x6 128x6 192x8 --steps 2000 4000 --seeds 0 1 2",
        ),
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0, 2 for an error, 130 for an interrupt."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except DreamdriveError as error:
        print(f"dreamdrive: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to go on.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; nothing may be written to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"dreamdrive {__version__}")
        return 0
    name, rest = split(words)
    if name is None:
        asked = " ".join(word for word in words[:2] if not word.startswith("-"))
        is_group = any(key.startswith(f"{words[0]} ") for key in COMMANDS)
        if is_group and (len(words) == 1 or words[1] in ("-h", "--help")):
            print(overview(words[0]))
            return 0
        print(f"dreamdrive: There is no command {asked!r}.\n", file=sys.stderr)
        print(overview(words[0] if is_group else ""), file=sys.stderr)
        return FAILED
    # Threads that spin while they wait for each other cost a factor of twenty once anything else
    # wants a core. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = chosen(name, rest)
    module = importlib.import_module(f"dreamdrive.experiments.{command.module}")
    function = getattr(module, command.function)
    if not command.config:
        return int(function(rest))
    result = function(parse(getattr(module, command.config), name, rest))
    if isinstance(result, Path):
        from dreamdrive.experiments.run import console

        console.print(f"Wrote {result}", markup=False, highlight=False)
        return 0
    return int(result or 0)


def split(words: list[str]) -> tuple[str | None, list[str]]:
    """Returns the command that the words begin with, and the rest; None if there is none."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    return None, words


def chosen(name: str, words: list[str]) -> Command:
    """Returns what a command is, given the words after its name."""
    command = COMMANDS[name]
    has_env = any(word.split("=")[0] == "--env" for word in words)
    return command.with_env if has_env and command.with_env is not None else command


def parse(config: Any, name: str, words: list[str]) -> Any:
    """Returns a command's config from the words of a command line.

    Exits as command lines do: status 0 after `--help`, 2 after an option that is wrong.

    Raises:
        DreamdriveError: If a value is impossible.
    """
    import tyro

    command = chosen(name, words)
    examples = "\n".join(f"  dreamdrive {line}" for line in command.examples)
    text, begun = f"{command.summary}\n\nexamples:\n{examples}", {}
    if command.has_presets:
        preset, words, line = preset_in(words, f"dreamdrive {name}")
        text, begun = f"{text}\n\n{line}", {"default": config.begun_with(preset)}
    try:
        return tyro.cli(config, prog=f"dreamdrive {name}", args=words, description=text, **begun)
    except DreamdriveError:
        raise
    except ValueError as error:
        text = str(error).rstrip(".")
        raise DreamdriveError(
            text[:1].upper() + text[1:], where=name, do=f"See: dreamdrive {name} --help"
        ) from error


def preset_in(words: list[str], prog: str) -> tuple[Any, list[str], str]:
    """Returns the sizes that `--preset` asks for, the other words, and the option's line of help.

    Exits with status 2 where there is no preset of that name.
    """
    from dreamdrive.worldmodel.presets import PRESETS

    parser = argparse.ArgumentParser(prog, add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    found, rest = parser.parse_known_args(words)
    line = (
        f"--preset {{{','.join(PRESETS)}}}: sizes that the options begin from; now {found.preset}."
    )
    return PRESETS[found.preset], rest, line


def overview(group: str = "") -> str:
    """Returns the list of commands, or of those of a group such as `train`."""
    shown = {k: v for k, v in COMMANDS.items() if not group or k.startswith(f"{group} ")}
    width = max(len(name) for name in shown)
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in shown.items()]
    return "\n".join(
        [
            f"usage: dreamdrive {group or 'COMMAND'} {'COMMAND ' if group else ''}[OPTIONS]",
            "",
            "Driving world models: collect, learn, dream, train in the dream, evaluate outside it.",
            "",
            "commands:",
            *lines,
            "",
            "Options and examples of one: dreamdrive COMMAND --help",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
