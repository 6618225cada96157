"""The error that a person reads."""


class UnlabeledError(Exception):
    """One or more problems, each one line that names the place, what is wrong and what to do.

    The command line prints each on its own line and exits with code 2; a traceback appears only with `--debug`.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
