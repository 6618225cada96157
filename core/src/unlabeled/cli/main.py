"""The command `unlabeled`: finds the command that was asked for, and turns errors into lines for people.

It is written with click and not typer, whose every call imports pydantic: listing plugins would take twice as long.
"""

import os
import sys
from collections.abc import Sequence

import click

from unlabeled import __version__
from unlabeled.cli.lazy import LazyGroup
from unlabeled.errors import Stopped, UnlabeledError
from unlabeled_registry.errors import RegistryError, escaped, one_line
from unlabeled_registry.install.journal import interrupted
from unlabeled_registry.registry import SELECTION_VARIABLE, discover

COMMANDS = {
    "train": ("unlabeled.cli.train:train", "Pretrain as a recipe says; the same command again continues."),
    "evaluate": ("unlabeled.cli.evaluate:evaluate", "Evaluate a run or an exported encoder beside its baselines."),
    "embed": ("unlabeled.cli.embed:embed", "Write the embeddings of a data set to a parquet file."),
    "export": ("unlabeled.cli.export:export", "Write a run's encoders as transformers checkpoints."),
    "report": ("unlabeled.cli.report:report", "Write a run's report.html."),
    "recipes": ("unlabeled.cli.recipes:recipes", "List the installed recipes, or print one."),
    "components": (
        "unlabeled.cli.components:components",
        "List what the installed plugins provide, or show one.",
    ),
    "matrix": ("unlabeled.cli.matrix:matrix", "Show which objective runs on which modality, and why not."),
    "plugins": ("unlabeled.cli.plugins.group:plugins", "Find, install, write, check and publish plugins."),
    "env": ("unlabeled.cli.env:env", "Show the versions that matter, and known clashes between them."),
}


@click.group(
    cls=LazyGroup,
    sections={"Commands": COMMANDS},
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--no-plugins", is_flag=True, help="Use no plugin in this command.")
@click.option("--only", metavar="NAMES", help="Use these plugins only, such as `vision,standard`.")
@click.option("--debug", is_flag=True, help="Show tracebacks; accepted anywhere in the command.")
@click.version_option(__version__, prog_name="unlabeled", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, no_plugins: bool, only: str | None, debug: bool) -> None:
    """Pretrain encoders on data without labels: any modality, any self-supervised method."""
    if no_plugins and only is not None:
        raise click.UsageError("--no-plugins and --only exclude each other")
    if no_plugins or only is not None:
        os.environ[SELECTION_VARIABLE] = only or ""  # where worker processes see it too
    if interrupted():
        from unlabeled_registry.install.transaction import recover

        if told := recover():
            click.echo(told, err=True)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    0; 2 where the user can mend it; 1 where we must; 75 where the same command continues; 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    try:
        code = cli.main(args=arguments, prog_name="unlabeled", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        _fail(130, "interrupted")
    except Stopped:
        sys.exit(Stopped.code)  # the trainer has said why
    except click.ClickException as error:
        _fail(2, error.format_message())
    except (UnlabeledError, RegistryError) as error:
        if debug:
            raise
        _fail(2, *error.problems)
    except Exception as error:
        if debug:
            raise
        from unlabeled_registry.damage import damage_behind

        if damaged := damage_behind(error):
            _fail(2, *damaged)
        _fail(1, f"unexpected {one_line(error)}; this is a defect of {_whose(error)}, --debug shows where")
    sys.exit(code if isinstance(code, int) else 0)


def _whose(error: Exception) -> str:
    """Whose defect an unexpected error is."""
    from unlabeled_registry.blame import blame

    try:
        return blame(error, discover().plugins) or "unlabeled"
    except Exception:  # it may be discovery that fails
        return "unlabeled"


def _fail(code: int, *problems: str) -> None:
    for problem in problems:
        click.echo(f"error: {escaped(problem)}", err=True)
    sys.exit(code)
