"""What every command takes and keeps to: quiet, config, environment, codes, completion.

Each is tried in real processes; what holds for all commands is walked through.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from scaling.cli import COMMANDS, main
from scaling.cli_settings import ENVIRONMENT, options_of
from scaling.exit_codes import INTERRUPTED, MEANINGS, USAGE

if TYPE_CHECKING:
    from tests.conftest import CommandLine


def walk(
    group: click.Group = main, *path: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Walk through all commands and the groups they are in."""
    for name in sorted(group.commands):
        command = group.commands[name]
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from walk(command, *path, name)


ALL = dict(walk())
WITH_A_RESULT = [
    path
    for path, command in ALL.items()
    if not isinstance(command, click.Group) and path != ("completion",)
]


@pytest.fixture
def losses(tmp_path: Path) -> Path:
    path = tmp_path / "losses.csv"
    lines = [f"1e{k},{1 + 10 ** (1 - k / 9)}" for k in range(9, 15)]
    path.write_text("\n".join(["flops,loss", *lines]))
    return path


# --- All commands ---


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_shows_an_example_that_is_its_own(path: tuple[str, ...]) -> None:
    command = ALL[path]
    context = click.Context(command, info_name=path[-1], **main.context_settings)
    lines = command.get_help(context).splitlines()
    example = lines[lines.index("  Example:") + 1 :]
    assert any(line.startswith(f"    scaling {' '.join(path)} ") for line in example)
    assert any("-h, --help" in line for line in lines)


@pytest.mark.parametrize("path", WITH_A_RESULT, ids=" ".join)
def test_every_command_with_a_result_gives_it_as_json(path: tuple[str, ...]) -> None:
    option = options_of(ALL[path])["json"]
    assert option.is_flag
    assert "one JSON object" in (option.help or "")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_has_help(path: tuple[str, ...]) -> None:
    for option in options_of(ALL[path]).values():
        assert option.help, option.opts


def test_no_two_options_share_a_variable_nor_take_another_s() -> None:
    variables = [
        str(option.envvar)
        for command in (main, *ALL.values())
        for option in options_of(command).values()
    ]
    taken = {"SCALING_TRACEBACK", "SCALING_DATA", "SCALING_CACHE"}
    assert len(set(variables)) == len(variables)
    assert taken.isdisjoint(variables)
    assert {"SCALING_FIT_LEVEL", "SCALING_DATA_DESCRIBE_FORMAT"} < set(variables)
    assert {"SCALING_CONFIG", "SCALING_QUIET"} <= set(variables) & set(ENVIRONMENT)


# --- Quiet ---


@pytest.mark.parametrize(
    "words", [("-q", "import"), ("import", "-q"), ("import", "--quiet")]
)
def test_quiet_leaves_the_result_alone(
    losses: Path, tmp_path: Path, scaling: CommandLine, words: tuple[str, ...]
) -> None:
    out = tmp_path / "runs.csv"
    loud = scaling.run("import", losses, "--out", out)
    assert loud.stderr
    quiet = scaling.run(*words, losses, "--out", out)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, loud.stdout, "")


def test_quiet_keeps_errors(tmp_path: Path, scaling: CommandLine) -> None:
    for words in (("-q", "status"), ("status", "-q")):
        done = scaling.run(*words, tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: {tmp_path} holds no grid.json")
    assert "No such option" in scaling.run("-q", "status", "--jsn").stderr


def test_a_quiet_run_says_nothing_on_the_way(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    out = tmp_path / "out"
    done = scaling.run("run", tiny, "--out", out, "--jobs", 2, "-q", "--json")
    assert done.stderr == ""
    ended = json.loads(done.stdout)
    assert ended == {
        **{"table": f"{out}/runs.csv", "diverged": [], "failed": {}, "waiting": 0}
    }
    again = scaling.run("work", out, "-q", "--json")
    assert again.stderr == ""
    assert json.loads(again.stdout)["failed"] == {}


# --- Version, colours, codes ---


def test_version_names_what_numbers_depend_on(scaling: CommandLine) -> None:
    line = scaling.run("--version").stdout
    assert line.startswith(f"scaling {version('scaling')}")
    assert f"torch {version('torch')}" in line
    assert f"numpy {version('numpy')}" in line
    assert f"python {sys.version.split()[0]}" in line
    loaded = [sys.executable, "-X", "importtime", "-m", "scaling", "--version"]
    found = subprocess.run(loaded, capture_output=True, text=True, check=True)
    assert found.stdout == line
    assert not re.search(r"\| +(torch|numpy)$", found.stderr, re.MULTILINE)


def test_version_in_a_checkout_has_its_commit(scaling: CommandLine) -> None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        pytest.skip("no checkout")
    git = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    assert f"+g{commit.strip()} " in scaling.run("--version").stdout


def test_codes_are_told_in_the_help(scaling: CommandLine) -> None:
    text = " ".join(scaling.run("-h").stdout.split())
    for code, meaning in MEANINGS.items():
        assert f"{code} {meaning}" in text
    for name, meaning in ENVIRONMENT.items():
        assert f"{name} {meaning}" in text


def test_an_interrupted_command_says_so_in_its_code(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    out = tmp_path / "out"
    long = ("--set", "tokenizers.steps=100000")
    process = scaling.start("run", tiny, "--out", out, "--jobs", 1, *long)
    while not any(out.glob("tokenizer-*/checkpoint/*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert "run the same command to go on" in said


# --- Config and environment ---


def level(done: subprocess.CompletedProcess[str]) -> float:
    assert done.returncode == 0, done.stderr
    return float(json.loads(done.stdout)["intervals"]["level"])


@pytest.mark.parametrize("form", ["toml", "yaml"])
def test_flag_before_environment_before_config_before_default(
    losses: Path, tmp_path: Path, scaling: CommandLine, form: str
) -> None:
    config = tmp_path / f"study.{form}"
    config.write_text(
        {
            "toml": '[fit]\nlevel = 0.9\nlaw = "power"\njson = true\n',
            "yaml": "fit:\n  level: 0.9\n  law: power\n  json: true\n",
        }[form]
    )
    plain = ("fit", losses, "--law", "power", "--json")
    with_config = ("--config", config, "fit", losses)
    there = {**scaling.environment, "SCALING_FIT_LEVEL": "0.8"}
    by_variable = {**scaling.environment, "SCALING_CONFIG": str(config)}
    assert level(scaling.run(*plain)) == 0.95
    assert level(scaling.run(*with_config)) == 0.9
    assert level(scaling.run("fit", "--config", config, losses)) == 0.9
    assert level(scaling.run("fit", losses, env=by_variable)) == 0.9
    assert level(scaling.run(*with_config, env=there)) == 0.8
    assert level(scaling.run(*with_config, "--level", 0.7, env=there)) == 0.7


def test_what_may_be_repeated_and_flags_can_be_set(
    losses: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[fit]\nlaw = "power-floor"\njson = true\nfix = ["E=1", "A=10"]\n'
    )
    by_config = scaling.run("--config", config, "fit", losses)
    variables = {"SCALING_FIT_JSON": "1", "SCALING_FIT_FIX": "E=1 A=10"}
    there = {**scaling.environment, **variables}
    by_variable = scaling.run("fit", losses, "--law", "power-floor", env=there)
    flags = ("--law", "power-floor", "--json", "--fix", "E=1", "--fix", "A=10")
    by_flags = scaling.run("fit", losses, *flags)
    assert by_config.stdout == by_variable.stdout == by_flags.stdout
    fitted = json.loads(by_flags.stdout)["parameters"]
    assert fitted["alpha"]["value"] == pytest.approx(1 / 9, rel=1e-6)


BAD = {
    "[ft]": "ft is no command or option; did you mean 'fit'?",
    "[fit]\nlevl = 1": "fit.levl is no option; did you mean 'level'?",
    "[data.descrbe]": "data.descrbe is no command or option; did you mean 'describe'?",
    "fit = 3": "fit is 3; expected a table of options of that command: write them",
    '[fit]\nlevel = "x"': "fit.level: 'x' is not a valid float: change it there",
    '[fit]\njson = "yes"': "fit.json is 'yes'; expected true or false: change it",
    "[fit]\nlevel = [1, 2]": "fit.level is [1, 2]; expected a value of that option",
    "[plan]\nruns = 1.5": "plan.runs: '1.5' is not a valid integer: change it there",
    '[fit]\ninterval = "no"': "fit.interval: 'no' is not one of 'wald', 'pairs'",
    '[fit]\nconfig = "b.toml"': "fit.config is no option; known: approach, audit",
    "[fit": "is no TOML: ",
}


@pytest.mark.parametrize("text", BAD)
def test_a_mistake_in_a_config_is_one_line(
    tmp_path: Path, scaling: CommandLine, text: str
) -> None:
    config = tmp_path / "study.toml"
    config.write_text(text)
    done = scaling.run("--config", config, "status", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {config}")
    assert BAD[text] in line


def test_a_config_that_is_none_is_one_line(
    tmp_path: Path, scaling: CommandLine
) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "a.yaml").write_text("- 1")
    (tmp_path / "b.yaml").write_text("a: [")
    said = {
        "a.txt": "is named neither .toml nor .yaml",
        "a.yaml": "holds no table",
        "b.yaml": "is no YAML: ",
        "none.toml": "No such file or directory",
    }
    for name, why in said.items():
        done = scaling.run("--config", tmp_path / name, "status", tmp_path)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert why in line


def test_a_mistake_in_the_environment_names_the_variable(
    losses: Path, scaling: CommandLine
) -> None:
    there = {**scaling.environment, "SCALING_FIT_LEVEL": "x"}
    done = scaling.run("fit", losses, env=there)
    assert done.returncode == USAGE
    assert done.stderr.splitlines()[-1] == (
        "Error: Invalid value for '--level', of the variable SCALING_FIT_LEVEL: 'x' is "
        "not a valid float."
    )


# --- Completion ---

ASK = """
source <(scaling completion bash)
complete -p scaling > /dev/null || exit 9
COMP_WORDS=({words}) COMP_CWORD={last}
_scaling_completion scaling
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(folder: Path, *words: str) -> list[str]:
    """Ask bash what it would offer for the last of some words."""
    programs = Path(sys.executable).parent
    asked = ASK.format(words=" ".join(f"'{w}'" for w in words), last=len(words) - 1)
    done = subprocess.run(
        ["bash", "--norc", "-c", asked],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_values(tmp_path: Path) -> None:
    assert completed(tmp_path, "scaling", "") == list(COMMANDS)
    assert completed(tmp_path, "scaling", "fi") == ["fit"]
    assert completed(tmp_path, "scaling", "data", "") == ["describe", "import", "view"]
    assert completed(tmp_path, "scaling", "fit", "--le") == ["--level"]
    assert completed(tmp_path, "scaling", "run", "--executor", "") == [
        *("local", "slurm", "ray")
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(scaling: CommandLine, shell: str) -> None:
    done = scaling.run("completion", shell)
    assert done.returncode == 0
    assert f"_SCALING_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        check = [shell, "-n", "/dev/stdin"]
        subprocess.run(check, input=done.stdout, text=True, check=True)
