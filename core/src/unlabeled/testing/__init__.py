"""The conformance kit: what a plugin author's tests call to prove that a component keeps its promises.

Each `check_...` raises an AssertionError of one line that names the component and the promise it breaks.
"""

from unlabeled.testing.augmentations import check_masking, check_transform
from unlabeled.testing.encoders import check_encoder, check_export
from unlabeled.testing.invariance import check_invariance
from unlabeled.testing.objectives import check_objective
from unlabeled.testing.processes import Processes
from unlabeled.testing.steps import Step, take_step
from unlabeled.testing.trial import Trial
from unlabeled.testing.views import make_draws, make_view, rows_of_layout, rows_of_view

__all__ = [
    "Processes",
    "Step",
    "Trial",
    "check_encoder",
    "check_export",
    "check_invariance",
    "check_masking",
    "check_objective",
    "check_transform",
    "make_draws",
    "make_view",
    "rows_of_layout",
    "rows_of_view",
    "take_step",
]
