"""Quarantine: cells that cannot be decoded, the log of them, and the limit above which a run stops."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unlabeled.errors import UnlabeledError

CUT_OFF_FILE = "cut-off.jsonl"
_ALWAYS_LET_PASS = 10


@dataclass(frozen=True)
class BadRow:
    """One line of quarantine.jsonl."""

    step: int
    epoch: int
    id: int
    reason: str


@dataclass(frozen=True)
class Verdict:
    """One line of cut-off.jsonl: a cell whose decoder hung or ended its process."""

    after: int
    """Steps that were done when it was found; it holds from the next one on."""
    data: str
    """Fingerprint of the split."""
    id: int
    encoder: str
    reason: str


class CutOff:
    """The cells that were cut off. Such a verdict depends on the clock and on the machine, so a run keeps it once given.

    Nothing is dropped from the file when a run goes on from a checkpoint: the same verdict holds from the same step on.
    """

    def __init__(self, path: Path | None = None, *, writes: bool = False) -> None:
        """Read what was found before; `writes`: add to the file what is found."""
        self.step = 0
        """Steps done so far: what is found outside of a step holds from here on."""
        self.version = 0
        """Changes with every new verdict."""
        self.unshared: list[Verdict] = []
        """Found by this process, and not known to the others yet."""
        self._path = path if writes else None
        self._known: dict[tuple[str, int, str], Verdict] = {}
        text = path.read_text() if path is not None and path.is_file() else ""
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):
                self._keep(Verdict(**json.loads(line)))
        if self._path is not None and text and not text.endswith("\n"):  # a kill cut the last line short
            self._path.write_text(text[: text.rfind("\n") + 1])

    def find(self, data: str, id_: int, encoders: Iterable[str], step: int | None = None) -> str | None:
        """The reason why a row is not to be decoded in a step (None: in the last one), where there is one."""
        if not self._known:
            return None
        for encoder in encoders:
            verdict = self._known.get((data, id_, encoder))
            if verdict is not None and (step is None or verdict.after <= step):
                return f"{encoder}: {verdict.reason}"
        return None

    def add(self, verdict: Verdict) -> None:
        """A verdict of this process."""
        if self._keep(verdict):
            self.unshared.append(verdict)
            self._write(verdict)

    def learn(self, verdict: Verdict) -> None:
        """A verdict of any process."""
        if self._keep(verdict):
            self._write(verdict)

    def _keep(self, verdict: Verdict) -> bool:
        key = verdict.data, verdict.id, verdict.encoder
        if key in self._known and self._known[key].after <= verdict.after:
            return False
        self._known[key] = verdict
        self.version += 1
        return True

    def _write(self, verdict: Verdict) -> None:
        if self._path is not None:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(verdict)) + "\n")


class Quarantine:
    """Logs the bad rows of all processes in the order of their places in the epoch, and stops where they are too many."""

    def __init__(
        self,
        folder: Path,
        max_bad: float,
        cut_off: CutOff,
        gather: Callable[[Sequence[str]], list[str]],
        append: Callable[[str, Sequence[Mapping[str, Any]]], None] | None,
    ) -> None:
        """gather: the lines of all processes, from those of each; append: writes lines, on one process alone."""
        self.path, self.max_bad, self.cut_off = folder / "quarantine.jsonl", max_bad, cut_off
        self._gather, self._append = gather, append

    def share(self, bad: Sequence[BadRow]) -> list[BadRow]:
        """The bad rows of a step on all processes, logged; what one process cut off is known to all from here on."""
        lines = [json.dumps({"bad": asdict(row)}) for row in bad]
        lines += [json.dumps({"cut off": asdict(verdict)}) for verdict in self.cut_off.unshared]
        self.cut_off.unshared.clear()
        found = [json.loads(line) for line in self._gather(lines)]
        for item in found:
            if "cut off" in item:
                self.cut_off.learn(Verdict(**item["cut off"]))
        rows = [BadRow(**item["bad"]) for item in found if "bad" in item]
        if self._append is not None:
            self._append(self.path.name, [{**asdict(row), "step": row.step + 1} for row in rows])
        return rows

    def check(self, bad_cells: int, cells: int, last: BadRow) -> None:
        """`UnlabeledError` where more of the cells read so far are bad than `data.max_bad` allows."""
        allowed = max(_ALWAYS_LET_PASS, self.max_bad * cells) if self.max_bad else 0
        if bad_cells > allowed:
            raise UnlabeledError(
                f"data: {bad_cells} of {cells} cells could not be decoded, more than data.max_bad={self.max_bad} "
                f"(the last: row {last.id}, {last.reason}); see {self.path}, mend the data, or raise data.max_bad"
            )
