"""Run as a script in a fresh process: loads exports, first where unlabeled cannot be imported, and imports the plugin.

Reads {"folders": encoder's id -> folder, "modules": [...]} from its input, and writes {"importing", "exports"} as JSON.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

BATCH = "conformance.safetensors"


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin)
    folders = {name: Path(folder) for name, folder in question["folders"].items()}
    problems = _as_transformers(folders)
    importing = _importing(question["modules"])
    for name, folder in folders.items():
        problems[name] = problems.get(name) or _as_unlabeled(folder)
    print("\n" + json.dumps({"importing": importing, "exports": problems}))


def _as_transformers(folders: Mapping[str, Path]) -> dict[str, str]:
    """What is wrong with the exports that are transformers checkpoints, where unlabeled is not installed."""
    sys.modules["unlabeled"] = None  # type: ignore[assignment]
    problems = {}
    for name, folder in folders.items():
        if (folder / "config.json").is_file():
            problems[name] = _loads(folder)
    del sys.modules["unlabeled"]
    return problems


def _loads(folder: Path) -> str:
    from transformers import AutoModel

    try:
        _, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    except Exception as error:
        return f"AutoModel cannot load its export: {_line(error)}"
    # Checkpoints of masked language models have no pooler, and transformers adds one.
    missing = sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))
    return f"its export leaves out {missing[0]} ({len(missing)} such)" if missing else ""


def _importing(modules: Sequence[str]) -> str:
    """What importing these modules changes."""
    import torch  # noqa: F401
    import transformers  # noqa: F401

    from unlabeled.testing.traces import state

    before = state()
    for module in modules:
        try:
            import_module(module)
        except BaseException as error:
            return f"importing {module} fails: {_line(error)}"
    after = state()
    return next((f"importing it {what}" for what, value in after.items() if value != before[what]), "")


def _as_unlabeled(folder: Path) -> str:
    import torch
    from safetensors.torch import load_file

    import unlabeled

    tensors = load_file(folder / BATCH)
    try:
        (loaded,) = unlabeled.load(folder).values()
        batch = unlabeled.Batch(_part(tensors, "inputs/"), tensors["ids"], tensors["present"], _part(tensors, "extra/"))
        with torch.no_grad():
            pooled = loaded.encoder.pool(loaded.encoder(batch))
    except Exception as error:
        return f"unlabeled.load cannot use its export: {_line(error)}"
    if pooled.shape != tensors["pooled"].shape or not torch.equal(pooled, tensors["pooled"]):
        return "its export gives other features in a fresh process"
    return ""


def _part(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    main()
