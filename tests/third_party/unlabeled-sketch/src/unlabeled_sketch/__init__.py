"""Strokes of a pen: one component of every kind."""

from unlabeled import hookimpl


@hookimpl
def run_ended(run, step):
    """Nothing to do."""
