"""Run by torchrun: the command line, where the second process runs out of memory above some rows: ROWS COMMAND..."""

import os
import sys
from typing import Any

import torch
import unlabeled_rows

from unlabeled.cli.main import main

MOST = int(sys.argv[1])
encode = unlabeled_rows.Perceptron.encode


def limited(self: Any, tokens: Any, **options: Any) -> Any:
    if self.training and os.environ["RANK"] == "1" and len(tokens.values) > MOST:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return encode(self, tokens, **options)


if __name__ == "__main__":
    unlabeled_rows.Perceptron.encode = limited
    main(sys.argv[2:])
