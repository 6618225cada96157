"""Run by torchrun: trains each recipe of a JSON file {name: [recipe, overrides, run folder]} in this process group."""

import json
import sys
from pathlib import Path

import torch

import unlabeled
from unlabeled.training.processes.distributed import leave

if __name__ == "__main__":
    torch.set_num_threads(1)
    for recipe, overrides, folder in json.loads(Path(sys.argv[1]).read_text()).values():
        unlabeled.train(recipe, overrides, run=folder, quiet=True)
    leave()
