"""Columns of `datasets`: the type that each has for modalities, and the names of its labels."""

from typing import Any


def column_type(feature: Any) -> str:
    """The type of a column of this feature (see `Source.columns`)."""
    name = type(feature).__name__
    if name in ("Image", "Audio", "Video"):
        return name.lower()
    if name == "ClassLabel":
        return "label"
    if name in ("List", "Sequence", "LargeList", "Array2D", "Array3D"):
        inner = column_type(getattr(feature, "feature", None))
        return {"number": "series", "label": "series", "series": "series", "text": "text"}.get(inner, "other")
    kind = str(getattr(feature, "dtype", ""))
    if kind in ("string", "large_string"):
        return "text"
    if kind.startswith(("int", "uint", "bool")):
        return "label"
    if kind.startswith(("float", "double", "decimal")):
        return "number"
    return "other"


def label_names(features: Any, column: str) -> tuple[str, ...] | None:
    """Names of the integer labels in a column, in order, or None where they have none."""
    names = getattr(features.get(column), "names", None)
    return tuple(names) if names else None
