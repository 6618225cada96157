"""Memory, time and gradients of the chunked contrastive losses against the plain ones, forward and backward on CPU.

    python tests/benchmarks/contrastive.py [--rows 8192 16384] [--large 65536] [--losses info-nce ...] [--tiles]

Plain is what one writes down first: the matrix of logits, cross-entropy, backward. Every measurement is a fresh process;
plain and chunked take turns, and medians are printed. Memory is the peak of the resident set (VmHWM, reset first) over
what is resident when the inputs lie there, so the gradients of the inputs count. Gradients are compared as the norm of the
difference over the norm, all in one process; the reference is the plain loss in float64. --tiles compares sizes of a tile.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from unlabeled_standard import products
from unlabeled_standard.contrastive import info_nce, nt_xent, sigmoid_contrast, symmetric_info_nce

Inputs = tuple[Tensor, Tensor, Tensor]
MEBIBYTE = 2**20


def _logits(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    return functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T / temperature


def plain_info_nce(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """One direction."""
    return functional.cross_entropy(_logits(first, second, temperature), torch.arange(len(first)))


def plain_symmetric(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """CLIP: both directions of one matrix."""
    logits, places = _logits(first, second, temperature), torch.arange(len(first))
    return (functional.cross_entropy(logits, places) + functional.cross_entropy(logits.T, places)) / 2


def plain_nt_xent(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """SimCLR: all views against all, without their own."""
    views, places = torch.cat([first, second]), torch.arange(2 * len(first))
    itself = torch.eye(len(views), dtype=torch.bool)
    logits = _logits(views, views, temperature).masked_fill(itself, -torch.inf)
    return functional.cross_entropy(logits, places.roll(len(first)))


def plain_sigmoid(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """SigLIP, with its initial bias."""
    labels = 2 * torch.eye(len(first), dtype=first.dtype) - 1
    return -functional.logsigmoid(labels * (_logits(first, second, temperature) - 10.0)).sum() / len(first)


def chunked_info_nce(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """As plain_info_nce."""
    return info_nce(first, second, torch.arange(len(first)), temperature).loss.mean()


def chunked_symmetric(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """As plain_symmetric."""
    forth, back = symmetric_info_nce(first, second, slice(0, len(first)), temperature, _everyone(first))
    return (forth.loss.mean() + back.loss.mean()) / 2


def chunked_nt_xent(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """As plain_nt_xent."""
    return nt_xent(first, second, slice(0, len(first)), temperature, _everyone(first)).loss.mean()


def chunked_sigmoid(first: Tensor, second: Tensor, temperature: Tensor) -> Tensor:
    """As plain_sigmoid."""
    bias = first.new_tensor([-10.0])
    return sigmoid_contrast(first, second, slice(0, len(first)), 1 / temperature, bias, _everyone(first)).loss.mean()


def _everyone(first: Tensor) -> Tensor:
    return torch.ones(len(first), dtype=torch.bool)


LOSSES: dict[str, dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "info-nce": {"plain": plain_info_nce, "chunked": chunked_info_nce},
    "symmetric": {"plain": plain_symmetric, "chunked": chunked_symmetric},
    "nt-xent": {"plain": plain_nt_xent, "chunked": chunked_nt_xent},
    "sigmoid": {"plain": plain_sigmoid, "chunked": chunked_sigmoid},
}
TEMPERATURE = {"sigmoid": 0.1}
"""Of the sigmoid loss, that of its t = ln 10; of the others, CLIP's."""


def inputs_of(loss: str, rows: int, width: int, dtype: torch.dtype = torch.float32) -> Inputs:
    """Vectors whose counterparts are alike, and the temperature; NT-Xent has half as many samples, for as many views."""
    generator = torch.Generator().manual_seed(0)
    samples = rows // 2 if loss == "nt-xent" else rows
    first = torch.randn(samples, width, generator=generator)
    second = first + torch.randn(samples, width, generator=generator)
    temperature = torch.tensor([TEMPERATURE.get(loss, 0.07)])
    first, second, temperature = (value.to(dtype).requires_grad_() for value in (first, second, temperature))
    return first, second, temperature


def measure(loss: str, how: str, rows: int, width: int) -> None:
    """Print what one forward and backward took, as JSON: for a process of its own."""
    function = LOSSES[loss][how]
    function(*inputs_of(loss, 256, width)).backward()  # loads the libraries and starts the threads
    inputs = inputs_of(loss, rows, width)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    start, cpu = time.perf_counter(), time.process_time()
    function(*inputs).backward()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"memory": _memory("VmHWM") - before, "seconds": seconds, "cpu": cpu}))


def _memory(field: str) -> float:
    """MiB of this process, by a field of /proc/self/status."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def gradients_of(loss: str, how: str, rows: int, width: int, dtype: torch.dtype) -> list[Tensor]:
    """Gradients of both sets of vectors and of the temperature, in float64."""
    inputs = inputs_of(loss, rows, width, dtype)
    return [value.double() for value in torch.autograd.grad(LOSSES[loss][how](*inputs), inputs)]


def compare_gradients(loss: str, rows: int, width: int) -> None:
    """Print how far the gradients in float32 are from each other and from the plain loss in float64."""
    reference = gradients_of(loss, "plain", rows, width, torch.float64)
    chunked = gradients_of(loss, "chunked", rows, width, torch.float32)
    plain = gradients_of(loss, "plain", rows, width, torch.float32)
    pairs = (("chunked", reference, chunked), ("plain", reference, plain), ("chunked to plain", plain, chunked))
    for name, ones, others in pairs:
        errors = [float((other - one).norm() / one.norm()) for one, other in zip(ones, others, strict=True)]
        against = "" if " " in name else " float32 to plain float64"
        print(f"{loss:10}{rows:>7} gradients, {name}{against}: " + " ".join(f"{error:.1e}" for error in errors))


def in_processes(
    cases: list[tuple[str, int]], loss: str, arguments: argparse.Namespace, repeats: int
) -> list[list[dict[str, float]]]:
    """What each (how, tile bytes) measured, `repeats` times, the cases taking turns."""
    found: list[list[dict[str, float]]] = [[] for _ in cases]
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    for _ in range(repeats):
        for number, (how, tile) in enumerate(cases):
            only = ["--only", loss, how, str(arguments.current), str(arguments.width), str(tile)]
            command = [sys.executable, __file__, *only]
            output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            found[number].append(json.loads(output))
    return found


def compare(loss: str, rows: int, hows: list[str], tiles: list[int], arguments: argparse.Namespace) -> None:
    """Print medians of memory and time, and the ratio of the first case to each."""
    arguments.current = rows
    cases = [(how, tile) for how in hows for tile in tiles]
    results = in_processes(cases, loss, arguments, arguments.repeats)
    medians = [{key: statistics.median(one[key] for one in result) for key in result[0]} for result in results]
    for (how, tile), median in zip(cases, medians, strict=True):
        ratios = ""
        if median is not medians[0]:
            ratios = " (" + ", ".join(f"{key} / {medians[0][key] / median[key]:.2f}" for key in median) + ")"
        print(
            f"{loss:10}{rows:>7} {how:8}{tile // MEBIBYTE:>4} MiB tile {median['memory']:7.0f} MiB "
            f"{median['seconds']:7.2f} s {median['cpu']:7.2f} s CPU{ratios}",
            flush=True,
        )


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[8192, 16384], help="both ways")
    parser.add_argument("--large", type=int, nargs="*", default=[65536], help="chunked alone, once")
    parser.add_argument("--gradients", type=int, nargs="*", default=[4096], help="rows at which gradients are compared")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--losses", nargs="*", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--tiles", action="store_true", help="chunked with tiles of 1 to 64 MiB, and nothing else")
    parser.add_argument("--only", nargs=5, metavar=("LOSS", "HOW", "ROWS", "WIDTH", "TILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        loss, how, rows, width, tile = arguments.only
        products.TILE_BYTES = int(tile)
        measure(loss, how, int(rows), int(width))
        return
    torch.set_num_threads(arguments.threads)
    default = products.TILE_BYTES
    for loss in arguments.losses:
        if arguments.tiles:
            for rows in arguments.rows:
                compare(loss, rows, ["chunked"], [size * MEBIBYTE for size in (1, 4, 16, 64)], arguments)
            continue
        for rows in arguments.gradients:
            compare_gradients(loss, rows, arguments.width)
        for rows in arguments.rows:
            compare(loss, rows, ["plain", "chunked"], [default], arguments)
        for rows in arguments.large:
            compare(loss, rows, ["chunked"], [default], argparse.Namespace(**{**vars(arguments), "repeats": 1}))


if __name__ == "__main__":
    main()
