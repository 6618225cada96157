"""What a stream costs and mixes: `python tests/benchmarks/streams.py` writes files into a temporary folder and reads them.

Mixing: rows sorted by class, 100 classes; distinct classes in a batch of 256, against a whole permutation's.
Memory: largest resident size of a process that reads a stream in order, over what it has after opening, at two sizes.
Reading: rows a second in order, and how often each row is read by W workers that take steps in turn.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.json
import pyarrow.parquet

from unlabeled.data.blocks import Blocks
from unlabeled.data.order import sample_positions
from unlabeled.data.shards import StreamConfig
from unlabeled.data.streams import Stream

BATCH = 256


def mixing() -> None:
    rows, classes = 200_000, 100
    labels = np.arange(rows) * classes // rows
    whole = sample_positions(0, 0, np.arange(rows), rows)
    print(f"classes in a batch of {BATCH}, of {classes}, rows sorted by class:")
    print(f"  whole permutation                       {distinct(labels[whole]):5.1f}")
    for group, interleave, block in (
        (10_000, 1, 2048),
        (10_000, 8, 256),
        (10_000, 20, 256),
        (1000, 8, 256),
        (1000, 64, 256),
        (100, 64, 256),
    ):
        order = Blocks.of([group] * (rows // group), block, interleave).order(0, 0, np.arange(rows))
        name = f"parts of {group}, {interleave} x {block}"
        print(f"  {name:40s}{distinct(labels[order]):5.1f}")


def distinct(labels: np.ndarray) -> float:
    batches = labels[: len(labels) // BATCH * BATCH].reshape(-1, BATCH)
    return float(np.mean([len(np.unique(batch)) for batch in batches]))


def write(folder: Path, kind: str, rows: int, shards: int) -> tuple[str, ...]:
    """Rows of 2 kB in files of one kind."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for shard in range(shards):
        texts = [generator.bytes(1000).hex() for _ in range(rows // shards)]
        path = folder / f"{shard:03d}.{kind}"
        if kind == "parquet":
            pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path, row_group_size=1000)
        else:
            path.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    return tuple(str(path) for path in sorted(folder.iterdir()))


def read(files: tuple[str, ...], kind: str, workers: int, pipe: Any) -> None:
    """As worker 0 of some reads; (rows read from disk, rows asked for, seconds, growth of the resident size in MB)."""
    stream = Stream(
        StreamConfig(files=files, kind={"jsonl": "json"}.get(kind, kind), block_rows=256, interleave=8), "train"
    )
    size = len(stream)
    stream.row(0, ["text"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blocks, asked, from_disk = stream.blocks, 0, 0
    original = stream._shards.read

    def counted(shard: int, part: int, columns: Any) -> Any:
        nonlocal from_disk
        for table in original(shard, part, columns):
            from_disk += table.num_rows
            yield table

    stream._shards.read = counted  # type: ignore[method-assign]
    began = time.perf_counter()
    for step in range(0, size // BATCH, workers):
        for row in blocks.order(0, 0, np.arange(step * BATCH, (step + 1) * BATCH)):
            stream.row(int(row), ["text"])
            asked += 1
    seconds = time.perf_counter() - began
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    pipe.send((from_disk, asked, size, seconds, growth))


def measured(files: tuple[str, ...], kind: str, workers: int) -> tuple[int, int, int, float, float]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=read, args=(files, kind, workers, theirs))
    child.start()
    result: tuple[int, int, int, float, float] = ours.recv()
    child.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8192, help="of 2 kB, in the smaller of two streams")
    rows = parser.parse_args().rows
    mixing()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("parquet", "jsonl"):
            for number in (rows, 4 * rows):
                files = write(Path(folder) / f"{kind}-{number}", kind, number, number // 4096)
                from_disk, asked, size, seconds, growth = measured(files, kind, 1)
                print(
                    f"{kind}, {size} rows ({size * 2 / 1000:.0f} MB): {asked / seconds:,.0f} rows/s, memory +{growth:.0f} MB"
                )
            for workers in (2, 8):
                from_disk, asked, size, _, _ = measured(files, kind, workers)
                print(
                    f"{kind}, {workers} workers: each reads {from_disk / size:.2f} of the stream, all of them {workers * from_disk / size:.2f}"
                )


if __name__ == "__main__":
    main()
