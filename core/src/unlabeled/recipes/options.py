"""A Config's options as a person writes them in YAML: name, type, default, what is allowed, and what they mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import to_jsonable_python

_TYPES = {"number": "float", "integer": "int", "boolean": "bool", "string": "str", "object": "mapping", "null": "null"}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
_LENGTHS = {"minItems": "least", "minProperties": "least", "minLength": "least"}
_LENGTHS |= {"maxItems": "most", "maxProperties": "most", "maxLength": "most"}


@dataclass(frozen=True)
class Option:
    """One option of a Config; those of a Config inside it follow it, under dotted names."""

    name: str
    type: str
    required: bool
    default: Any
    """As JSON and YAML hold it; None where `required`."""
    allowed: str
    """The range or the values, where the type does not say it."""
    description: str


def options_of(config: type[BaseModel]) -> list[Option]:
    """Every option that a recipe may give, in the order of the class."""
    schema = config.model_json_schema(schema_generator=_Lenient)
    return list(_options(schema, config.model_fields, _Reader(schema.get("$defs", {})), ""))


class _Lenient(GenerateJsonSchema):
    """A type of which JSON knows nothing is `any`, so that a plugin's own types stop nobody from reading the rest."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}


@dataclass(frozen=True)
class _Reader:
    """What a part of a JSON schema says, its references followed."""

    definitions: Mapping[str, Any]

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        return {**self.definitions[schema["$ref"].rpartition("/")[2]], **schema}

    def choices(self, schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        found = self.resolve(schema)
        parts = found.get("anyOf") or found.get("oneOf") or ()
        return [self.resolve(part) for part in parts] or [found]

    def type(self, schema: Mapping[str, Any]) -> str:
        """What to write: `float`, `list of int`, `int or null`, `[float, float]`; a Config is a mapping."""
        return " or ".join(dict.fromkeys(self._one_type(choice) for choice in self.choices(schema)))

    def allowed(self, schema: Mapping[str, Any]) -> str:
        """The range and the values, those of members after `each`."""
        found = [(choice, self._one_range(choice)) for choice in self.choices(schema)]
        same = len([choice for choice, _ in found if self._one_type(choice) != "null"]) == 1
        texts = [text if same else f"{self._one_type(choice)}: {text}" for choice, text in found if text]
        return "; ".join(texts)

    def _one_type(self, schema: Mapping[str, Any]) -> str:
        if "const" in schema or "enum" in schema:
            kinds = {type(value).__name__ for value in schema.get("enum", [schema.get("const")])}
            return " or ".join(sorted(kinds))
        kind = schema.get("type")
        if kind == "array" and "prefixItems" in schema:
            return f"[{', '.join(self.type(item) for item in schema['prefixItems'])}]"
        if kind == "array":
            return f"list of {self.type(schema['items'])}" if schema.get("items") else "list"
        if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
            return f"mapping to {self.type(schema['additionalProperties'])}"
        return _TYPES.get(str(kind), "any")

    def _one_range(self, schema: Mapping[str, Any]) -> str:
        if "const" in schema or "enum" in schema:
            return ", ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
        if {"minimum", "maximum"} <= set(schema):
            parts = [f"{_number(schema['minimum'])} to {_number(schema['maximum'])}"]
        else:
            parts = [f"{word} {_number(schema[key])}" for key, word in _BOUNDS.items() if key in schema]
        if "multipleOf" in schema:
            parts.append(f"a multiple of {_number(schema['multipleOf'])}")
        if "pattern" in schema:
            parts.append(f"like {schema['pattern']}")
        if "prefixItems" not in schema:
            parts += [f"length at {word} {schema[key]}" for key, word in _LENGTHS.items() if key in schema]
        members = [*schema.get("prefixItems", ()), *filter(None, [schema.get("items")])]
        inner = [self.allowed(member) for member in members]
        if len(set(inner)) == 1 and inner[0]:
            parts.append(f"each {inner[0]}")
        elif any(inner):
            parts += [f"number {place}: {text or 'any'}" for place, text in enumerate(inner, start=1)]
        return ", ".join(parts)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _options(
    schema: Mapping[str, Any],
    fields: Mapping[str, FieldInfo],
    reader: _Reader,
    prefix: str,
    inside: tuple[str, ...] = (),
) -> Iterator[Option]:
    for name, part in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        default = part.get("default", _made_default(fields.get(name)))
        description = " ".join(reader.resolve(part).get("description", "").split()) if "description" in part else ""
        yield Option(prefix + name, reader.type(part), required, default, reader.allowed(part), description)
        for step, title, model in _models(part, reader):
            if title not in inside:
                own = f"{prefix}{name}{step}."
                yield from _options(model, {}, reader, own, (*inside, title))


def _models(schema: Mapping[str, Any], reader: _Reader) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Configs that an option holds: how one gets to them, their name, and their schema."""
    choices = reader.choices(schema)
    models = [choice for choice in choices if "properties" in choice]
    for model in models:
        yield f" ({model['title']})" if len(models) > 1 else "", str(model.get("title", "")), model
    for choice in choices:
        for step, members in ((".0", choice.get("items")), (".NAME", choice.get("additionalProperties"))):
            if isinstance(members, Mapping):
                yield from ((step + more, title, model) for more, title, model in _models(members, reader))


def _made_default(field: FieldInfo | None) -> Any:
    """The default that a function makes, which no schema holds; None where it needs the other options."""
    if field is None or field.default_factory is None or field.default_factory_takes_validated_data:
        return None
    return to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)
