"""What every command takes: --quiet, --config, and options from the environment.

An option is what the command line says, else the environment, else the config file,
else its default. A config file has a table for each command::

    [fit]
    law = "chinchilla"
    level = 0.9

    [data.describe]
    format = "svg"
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from scaling.errors import ScalingError, plain, suggestion

ENVIRONMENT = {
    "SCALING_COMMAND_OPTION": "an option of a command, such as SCALING_FIT_LEVEL for "
    "--level of scaling fit; 1 sets a flag, spaces part what may be repeated",
    "SCALING_CONFIG": "a config file, as --config",
    "SCALING_QUIET": "1: no progress and no notes, as --quiet",
    "SCALING_TRACEBACK": "1: the stack behind an error is shown",
    "SCALING_CACHE": "folder where states of text encoders are kept",
    "NO_COLOR, FORCE_COLOR": "not empty: no colours, or colours in files and pipes too",
}
"""Variables that the commands heed."""


def give_settings(command: click.Command, *path: str) -> None:
    """Give a command, and the commands of a group, what every command takes.

    Parameters
    ----------
    command : click.Command
        Taken as it is; the commands of the group `scaling` itself are left alone, for
        that would load them.
    path : str
        Names that lead to it from `scaling`.
    """
    _config_option(command)
    _quiet_option(command)
    for name, option in options_of(command).items():
        words = ("scaling", *path, name)
        option.envvar = "_".join(words).upper().replace("-", "_")
    if path and isinstance(command, click.Group):
        for name, each in command.commands.items():
            give_settings(each, *path, name)


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Find the options of a command that can be set elsewhere, as they are spelled."""
    options = [each for each in command.params if isinstance(each, click.Option)]
    named = {max(option.opts, key=len).lstrip("-"): option for option in options}
    return {name: option for name, option in named.items() if name != "version"}


def name_variable(error: click.BadParameter) -> None:
    """Let an error about a value name the variable that the value came from."""
    option, context = error.param, error.ctx
    if not isinstance(option, click.Option) or context is None or not option.name:
        return
    if context.get_parameter_source(option.name) is ParameterSource.ENVIRONMENT:
        error.param_hint = f"'{option.opts[-1]}', of the variable {option.envvar}"


# --- Quiet ---


@contextmanager
def _nothing_said() -> Iterator[None]:
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        yield


def _hush(context: click.Context, _: click.Parameter, quiet: bool) -> None:
    """Drop what is written to stderr until the command ends; errors come after."""
    if quiet and not context.resilient_parsing:
        context.with_resource(_nothing_said())


_quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_hush,
    help="No progress and no notes; errors stay.",
)


# --- The config file ---


def _configure(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take a command's part of a config file for its defaults."""
    if path is None or context.resilient_parsing:
        return
    try:
        defaults = load_config(path, context.find_root().command)
    except (OSError, ScalingError) as error:
        raise click.ClickException(plain(error)) from None
    for name in _path(context):
        defaults = defaults.get(name, {})
    context.default_map = defaults


_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_configure,
    help="TOML or YAML file of options, a table for each command.",
)


def _path(context: click.Context) -> list[str]:
    """Names that lead to a context's command from `scaling`."""
    if context.parent is None:
        return []
    return [*_path(context.parent), context.info_name or ""]


def load_config(path: Path, command: click.Command) -> dict[str, Any]:
    """Read defaults from a config file, by the parameters' names as click wants them.

    Raises
    ------
    ScalingError
        If the file is no TOML or YAML, or a key is no command and no option, or a value
        is not one that the option takes.
    """
    return _defaults(_read(path), command, f"{path}: ")


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise ScalingError(
            f"{path} is named neither .toml nor .yaml; expected a config file in one "
            "of these forms: name another"
        )
    try:
        found = _parse(path)
    except ValueError as error:
        said = " ".join(str(error).split())
        raise ScalingError(
            f"{path} is no {path.suffix[1:].upper()}: {said}: mend it there"
        ) from None
    if not isinstance(found, Mapping):
        raise ScalingError(
            f"{path} holds no table; expected one for each command: write fit: and its "
            "options below it"
        )
    return found


def _parse(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def _defaults(
    table: Mapping[str, Any], command: click.Command, where: str
) -> dict[str, Any]:
    """Check a command's table, and those within it."""
    commands = command.commands if isinstance(command, click.Group) else {}
    options = {k: o for k, o in options_of(command).items() if k != "config"}
    found: dict[str, Any] = {}
    for key, value in table.items():
        name, at = str(key).replace("_", "-"), f"{where}{key}"
        if name in options:
            option = options[name]
            found[str(option.name)] = _value(option, value, command, at)
        elif name not in commands:
            kind = "command or option" if commands else "option"
            known = suggestion(name, [*commands, *options])
            raise ScalingError(f"{at} is no {kind}; {known}")
        elif not isinstance(value, Mapping):
            raise ScalingError(
                f"{at} is {value!r}; expected a table of options of that command: "
                "write them below it"
            )
        else:
            found[name] = _defaults(value, commands[name], f"{at}.")
    return found


def _value(option: click.Option, value: Any, command: click.Command, at: str) -> Any:
    """Check a value as the command line would, so that an error names the file."""
    several = isinstance(value, list) and option.multiple
    values = value if several else [value]
    if any(isinstance(each, bool) is not option.is_flag for each in values) or any(
        isinstance(each, list | Mapping) or each is None for each in values
    ):
        kind = "true or false" if option.is_flag else "a value of that option"
        kind += ", or a list of them" if option.multiple else ""
        raise ScalingError(f"{at} is {value!r}; expected {kind}: change it")
    texts = tuple(map(str, values))
    given = texts if option.multiple else texts[0]
    try:
        option.type_cast_value(click.Context(command), given)
    except click.BadParameter as error:
        said = error.message.removesuffix(".")
        raise ScalingError(f"{at}: {said}: change it there") from None
    return given
