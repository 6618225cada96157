"""What the commands share that change the environment: their options, the plan as people read it, and the question."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled_registry.errors import RegistryError, listed
from unlabeled_registry.install.operations import Options, Preparation, carry_out
from unlabeled_registry.install.plan import Plan

F = TypeVar("F", bound=Callable[..., Any])


def plan_options(command: F) -> F:
    """--dry-run, --yes and --json."""
    command = click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON; needs --dry-run or --yes.")(
        command
    )
    command = click.option("--yes", "-y", is_flag=True, help="Do not ask.")(command)
    return click.option("--dry-run", is_flag=True, help="Print what would be changed, and change nothing.")(command)


def install_options(command: F) -> F:
    """Where plugins come from, and what is allowed; passed on as `options`."""
    from functools import wraps

    @click.option(
        "--index", help="The plugin index: a folder or an address; default: $UNLABELED_INDEX, or the settings'."
    )
    @click.option("--installer", type=click.Choice(["pip", "uv"]), help="Default: the one that made the environment.")
    @click.option(
        "--allow-core-changes", is_flag=True, help="Let torch, accelerate, transformers and unlabeled change."
    )
    @click.option(
        "--allow-source",
        is_flag=True,
        help="Build what plugins need from source where no wheel is; that runs its code.",
    )
    @wraps(command)
    def wrapped(
        index: str | None, installer: str | None, allow_core_changes: bool, allow_source: bool, **arguments: Any
    ) -> Any:
        return command(options=Options(index, installer, allow_core_changes, allow_source), **arguments)

    return wrapped  # type: ignore[return-value]


def confirm_and_install(preparation: Preparation, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Show the plan, ask, and carry it out."""
    plan = preparation.plan
    if agreed(plan, dry_run=dry_run, yes=yes, as_json=as_json):
        carry_out(preparation)
        finished(plan, as_json=as_json)
    elif not dry_run and not plan.changes:
        carry_out(preparation)


def agreed(plan: Plan, *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Whether to go on after the plan was shown."""
    if as_json:
        if not (dry_run or yes):
            raise click.UsageError("--json needs --dry-run or --yes, as nobody can be asked")
        print_json(plan.as_json())
    else:
        _show(plan)
    if dry_run or not plan.changes:
        return False
    try:
        return yes or click.confirm("Go on?")
    except click.Abort:
        raise RegistryError("nothing was changed: nobody answered; --yes agrees beforehand") from None


def finished(plan: Plan, *, as_json: bool) -> None:
    """Say that it is done."""
    if not as_json:
        say(f"done: {plan}")
        if plan.unused:
            click.echo("`unlabeled plugins uninstall --autoremove` removes what nothing needs any longer")


def _show(plan: Plan) -> None:
    for warning in plan.warnings:
        say(f"warning: {warning}", err=True)
    if not plan.changes:
        say("nothing to change")
        return
    rows = [
        (change.name, change.old or "-", change.new or "removed", change.source or "-", _size(change.size))
        for change in plan.changes
    ]
    print_columns(("NAME", "INSTALLED", "THEN", "FROM", "SIZE"), rows)
    if plan.unused:
        say(f"stays, though nothing needs it any longer: {listed(plan.unused)} (--autoremove removes it too)")


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
