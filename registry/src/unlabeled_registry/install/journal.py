"""Where the journal of a change lies; every command looks whether one was left, so this imports next to nothing."""

import os
import sys
from pathlib import Path

FOLDER = Path(sys.prefix, "etc", "unlabeled", "transaction")
"""Always in the environment itself, wherever its settings are."""
JOURNAL = FOLDER / "journal.json"


def interrupted() -> bool:
    """Whether a change of the environment is under way, or was cut off and must be undone."""
    return os.path.exists(JOURNAL)
