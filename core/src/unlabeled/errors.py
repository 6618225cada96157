"""The errors that a person reads."""


class UnlabeledError(Exception):
    """One or more problems, each one line that names the place, what is wrong and what to do.

    The command line prints each on its own line and exits with code 2; a traceback appears only with `--debug`.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Stopped(Exception):
    """Training stopped before its last step, as it was asked to: by SIGTERM, by SIGINT, or by `training.max_time`.

    Nothing is lost: the same call, or the same command, continues exactly where it stopped. It is no `UnlabeledError`, as
    nothing is wrong, and it is raised, not returned, as there is no export yet that the next line could load. The command
    line exits with `code`.
    """

    code = 75
    """EX_TEMPFAIL of sysexits.h: try again (unlabeled.training.safety.stopping says why)."""
