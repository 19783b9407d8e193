"""The command that helps a shell to complete the others: `scaling completion`."""

from __future__ import annotations

import click

from scaling.cli_common import plain_errors

PROGRAM, VARIABLE = "scaling", "_SCALING_COMPLETE"
"""What is completed, and the variable by which the shell asks for it."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@plain_errors
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell.

    Kept where the shell looks for such scripts it is there in every new one: commands,
    options, their values and files are completed by the tab key. For zsh the folder
    must be on the path of functions: fpath+=~/.zfunc before compinit in ~/.zshrc.

    \b
    Example:
      scaling completion bash > ~/.local/share/bash-completion/completions/scaling
      scaling completion zsh > ~/.zfunc/_scaling
      scaling completion fish > ~/.config/fish/completions/scaling.fish
      source <(scaling completion bash)
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "click has all three"
    root = context.find_root().command
    click.echo(kind(root, {}, PROGRAM, VARIABLE).source(), nl=False)
