"""`python -m unlabeled.testing NAME`: prove every promise of an installed plugin.

Exit code: 0 where everything that is required ran and passed, 1 where not, 2 where the plugin cannot be checked,
130 or 143 where Ctrl-C or SIGTERM ended it.
"""

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path

from unlabeled_registry.check.signals import Terminated, terminable
from unlabeled_registry.errors import RegistryError


def main(arguments: list[str] | None = None) -> int:
    """Check a plugin, say what became of each promise, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m unlabeled.testing", description="Prove a plugin's promises.")
    parser.add_argument("plugin", metavar="NAME", help="an installed plugin, such as unlabeled-vision or vision")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the report here")
    parser.add_argument(
        "--only", metavar="PROMISE", help="run one promise, such as rows or vision/vit:rows; never green"
    )
    options = parser.parse_args(arguments)
    from unlabeled.testing.conformance.run import check_plugin

    def show(line: object) -> None:
        print(line, flush=True)

    try:
        with terminable():
            report = check_plugin(options.plugin, only=options.only, seen=show, finished=show)
        if options.json is not None:
            options.json.write_text(report.write(), encoding="utf-8")
    except KeyboardInterrupt as error:
        return error.code if isinstance(error, Terminated) else 130
    except RegistryError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.json}: cannot be written ({error.strerror}); give another file", file=sys.stderr)
        return 2
    if options.only is not None and report.ran == 0:
        print(f"--only {options.only}: no such promise of {report.plugin}", file=sys.stderr)
        return 2
    print(report.summary())
    return 0 if report.green else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    sys.exit(main())
