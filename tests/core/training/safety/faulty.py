"""Run by torchrun: the command line, where the second process has a fault.

faulty.py memory ROWS COMMAND...: it runs out of memory above so many rows; faulty.py nan STEP COMMAND...: its rows are NaN in a step.
"""

import math
import os
import sys
from typing import Any

import torch
import unlabeled_rows

from unlabeled.cli.main import main

FAULT, NUMBER = sys.argv[1], int(sys.argv[2])
encode, represent = unlabeled_rows.Perceptron.encode, unlabeled_rows.AlignUniform.represent


def limited(self: Any, tokens: Any, **options: Any) -> Any:
    if self.training and len(tokens.values) > NUMBER:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return encode(self, tokens, **options)


def poisoned(self: Any, views: Any, encoders: Any, context: Any) -> Any:
    factor = math.nan if context.step + 1 == NUMBER else 1.0
    return {key: value * factor for key, value in represent(self, views, encoders, context).items()}


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        if FAULT == "memory":
            unlabeled_rows.Perceptron.encode = limited
        else:
            unlabeled_rows.AlignUniform.represent = poisoned
    main(sys.argv[3:])
