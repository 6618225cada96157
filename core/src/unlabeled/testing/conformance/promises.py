"""The closed list of promises. What a plugin must prove follows from this list and its manifest alone.

It names no function: what runs is found in `checks`, so that a promise whose check is missing is required all the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from unlabeled_registry.capabilities import CAPABILITIES
from unlabeled_registry.manifest import Manifest

_EVERY: Mapping[str, str] = {
    "object": "the manifest's object exists, is of this kind and can be built",
    "config": "its Config refuses unknown options, does not change, and describes each option",
    "options": "a wrong value of an option is refused in one line",
    "declared": "the manifest says of it what the code says",
    "traces": "it leaves no global randomness, setting, thread or open file behind",
}

_CONTINUES = "a run that is stopped and continued ends bit for bit as one that is not"
_LEARNS = "a short training lowers the loss on held-out data below that of the untrained networks"
_COLLAPSE = (
    "a short training keeps samples apart: features differ, and the loss knows better which views belong together"
)

PROMISES: Mapping[str, Mapping[str, str]] = {
    "plugin": {
        "import": "importing its package changes no global state and starts nothing",
        "hooks": "its hooks have the names and arguments that runs call them with",
        "uses": "its recipes name no other plugin's component that `uses` leaves out",
        "requirements": "its distribution requires unlabeled",
        "pickle": "its code neither reads nor writes pickles",
        "communication": "its code does not use torch.distributed",
    },
    "modality": {
        **_EVERY,
        "decode": "decode gives named arrays of finite numbers",
        "deterministic": "decode gives the same for the same cell",
        "in-place": "decode, take and collate change nothing in place",
        "garbage": "what is no such data is refused with a reason; nothing hangs, ends the process or becomes NaN",
        "take": "take draws from `draws` alone, and for evaluation not at all",
        "collate": "collate gives rows of finite tensors with its main input, also of samples that differ in size",
        "rows": "a sample is collated alike alone and among others",
        "input-shape": "input_shape says what collate gives",
        "raw": "raw gives finite features, each sample's its own",
        "blank": "the blank stands in for a missing cell, or its absence is told",
        "fit": "fit learns the same from the same cells",
        "restore": "restored from what was saved, it does the same",
        "show": "show gives text or an image",
        "pipelines": "its default augmentations exist, fit it and run",
    },
    "encoder": {
        **_EVERY,
        "provides": "it names known capabilities only",
        "in-place": "embed and encode change nothing in place",
        "shapes": "embed, encode and pool give the documented shapes, finite",
        "forward": "embed then encode equals forward",
        "deterministic": "it gives the same for the same samples",
        "rows": "a sample's features are alike alone and among others",
        "padding": "padding changes no real token and no feature",
        "state": "encoding changes no parameter, and for evaluation no state",
        "gradient": "every parameter that is trained receives a finite gradient",
        "dtype": "it computes in the precision and on the device it is put on",
        "bfloat16": "features and gradients are finite in bfloat16",
        "checkpointing": "recomputed layers give the same gradients",
        "restore": "restore brings back exactly what export wrote",
        "export": "a fresh process loads the export: unlabeled with equal features, transformers with all weights",
        "continues": _CONTINUES,
        "learns": _LEARNS,
        "collapse": _COLLAPSE,
    },
    "augmentation": {
        **_EVERY,
        "in-place": "it changes nothing in place",
        "valid": "a transform keeps rows, ids and presence, finite; a masking chooses maskable tokens",
        "deterministic": "it gives the same for the same draws",
        "seed": "it draws by the seed wherever it draws by the sample",
        "rows": "a sample's result is alike alone and among others",
        "padding": "padding changes no choice",
        "dtype": "it keeps dtype and device, in float64 too",
    },
    "objective": {
        **_EVERY,
        "views": "the views it asks for have known maskings and can be made",
        "modalities": "it works on data of any other kind too, or its manifest names its modalities",
        "in-place": "it changes no view in place",
        "state": "represent, head and loss change no state",
        "outputs": "outputs are rows of floats; terms and monitors are finite scalars; statistics are detached",
        "deterministic": "it gives the same loss and gradient again; its randomness is that of `draws`",
        "micro-batches": "loss, counts and gradient are the same in any number of micro-batches",
        "processes": "loss, counts and gradient are the same on any number of processes",
        "after-step": "after_step changes its own state only, and leaves it finite",
        "saved-state": "all of its state is in parameters and buffers",
        "counts": "counts are known from the views alone, and are those of what loss scored",
        "gradient": "a gradient reaches every encoder and every parameter that is trained and not frozen",
        "groups": "frozen and parameter_groups name parameters that exist",
        "bfloat16": "loss and gradients are finite in bfloat16",
        "leaves": "exports and embed give encoders of its own and a finite space",
        "communication": "it does not communicate",
        "invariance": "five steps of the trainer are the same on two real processes with two micro-batches",
        "continues": _CONTINUES,
        "learns": _LEARNS,
        "collapse": _COLLAPSE,
    },
    "evaluator": {
        **_EVERY,
        "baselines": "it gives the metrics of the trained encoder for the untrained one and raw features too",
        "metrics": "metrics are finite numbers, and it says on what they were measured",
        "protocol": "its protocol is JSON",
        "deterministic": "it measures the same again",
        "alike": "it measures trained and untrained encoders alike",
        "held-out": "it scores the test split",
        "encoders": "it changes no encoder",
    },
    "source": {
        **_EVERY,
        "splits": "its splits open, and an unknown one is refused in one line",
        "columns": "its columns have known types, and a row holds what was asked for",
        "rows": "a row is always the same row",
        "bounds": "a row that does not exist is refused",
        "fingerprint": "each split has a fingerprint of its own, always the same",
        "labels": "labels are integers that its names cover",
    },
    "recipe": {
        "resolves": "its components exist, fit and accept their options",
        "dry-run": "a dry run says what it would do",
        "trains": "two steps train, evaluate and export",
    },
}
CAPABILITY = "capability-"


@dataclass(frozen=True)
class Required:
    """A promise that a plugin must prove, of one of its components or of itself."""

    component: str
    """Full id; empty for the plugin."""
    kind: str
    promise: str
    text: str


def required(manifest: Manifest) -> Iterator[Required]:
    """Every promise that a plugin with this manifest must prove."""
    for promise, text in PROMISES["plugin"].items():
        yield Required("", "plugin", promise, text)
    for component in manifest.components:
        for promise, text in PROMISES[component.kind].items():
            yield Required(component.id, component.kind, promise, text)
        for capability in component.provides:
            yield Required(component.id, component.kind, f"{CAPABILITY}{capability}", CAPABILITIES[capability])
