"""One process of a test session: runs what it is sent, until it is sent no more. Started by `Processes`."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState

from unlabeled.testing.trial import Trial, read_losses, run_trial, write_tensors
from unlabeled.training.processes.distributed import join, leave
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.registry import discover

LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def serve(connection: socket.socket) -> None:
    """Say which process this is, then answer each line, a job, by a line: its losses, or its error."""
    group: str | None = None
    with connection, connection.makefile("rw", encoding="utf-8") as lines:
        print(json.dumps({"process": os.getpid()}), file=lines, flush=True)
        for line in lines:
            job = json.loads(line)
            if job["meeting"] != group:
                group = _change_group(job)
            print(json.dumps(_answer(job)), file=lines, flush=True)


def _change_group(job: dict[str, Any]) -> str | None:
    leave()
    AcceleratorState._reset_state(reset_partial_state=True)
    for name in LAUNCHER:
        os.environ.pop(name, None)
    meeting: str | None = job["meeting"]
    if meeting is not None:
        join(job["index"], job["trial"]["processes"], Path(meeting))
    return meeting


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    folder = Path(job["folder"])
    try:
        tensors = run_trial(Trial(**job["trial"]), folder)
    except Exception as error:  # whatever a plugin raises: it is told by the process that asked
        return {"error": f"{type(error).__name__}: {error}"}
    write_tensors(folder / f"process-{job['index']}.safetensors", tensors)
    return {"losses": read_losses(folder)}


def _import_plugins() -> None:
    """Import what trials will need, once for all processes that are forked from this one."""
    import torch._dynamo  # noqa: F401  the optimizers import it at their first step

    registry = discover()
    for kind in ("modality", "encoder", "objective"):
        for component in registry.components(kind):
            try:
                registry.load(component)
            except RegistryError:  # told by the trial that needs it
                continue


def main(descriptors: list[int]) -> None:
    """Be the first process, and the parent of the others; each has one of the inherited sockets."""
    torch.set_num_threads(1)
    _import_plugins()
    connections = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    own = 0
    children: list[int] = []
    for index in range(1, len(connections)):
        child = os.fork()
        if child == 0:
            own, children = index, []
            break
        children.append(child)
    for index, connection in enumerate(connections):
        if index != own:
            connection.close()
    serve(connections[own])
    leave()
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
