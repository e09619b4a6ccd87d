"""Error messages about settings, made from the models in `settings`: the bad value and the valid ones."""

import json
from functools import cache
from typing import Any

from pydantic import ValidationError

from experiments.errors import UserError, unknown
from experiments.sentences import shown
from experiments.settings import Settings

Schema = dict[str, Any]  # of JSON schema, as pydantic makes it from a model
NOTHING: Schema = {}


def validated(config: dict[str, Any]) -> Settings:
    """Returns the settings of a resolved configuration; UserError for the first value that is refused."""
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        place = error.errors(include_url=False, include_context=False)[0]["loc"]
        raise _refusal(config, place) from error


def takes(path: str, config: dict[str, Any], expected: object) -> tuple[bool, bool]:
    """Returns two booleans: whether a key takes numbers, and whether it takes true and false.

    Args:
        path: such as `schedule.epochs`.
        config: resolved.
        expected: the key's default; it decides for keys that no model describes.
    """
    schema = schema_of(path, config)
    if not schema:
        truth = isinstance(expected, bool)
        return expected is None or (isinstance(expected, int | float) and not truth), truth
    types = {one.get("type") for one in _alternatives(schema)}
    return bool(types & {"integer", "number"}), "boolean" in types


def schema_of(path: str, config: dict[str, Any]) -> Schema:
    """Returns the schema of a key; an empty one for free keys such as an optimizer's."""
    node: Any = config
    found = _whole()
    for key in path.split("."):
        found = _below(found, key, node)
        node = node.get(key) if isinstance(node, dict) else None
    return found


def wanted(schema: Schema) -> str:
    """Returns what a key takes: "a whole number, 1 or more and at most 1000"."""
    return ", or ".join([*map(_wanted, _alternatives(schema)), *filter(None, [schema.get("or")])])


def as_typed(value: object) -> str:
    """Returns a value as it is typed on a command line: null, true, [last,best]."""
    text = value if isinstance(value, str) else json.dumps(value).replace('"', "").replace(" ", "")
    return text if len(text) <= 60 else f"{text[:57]}..."


@cache
def _whole() -> Schema:
    return Settings.model_json_schema()


def _below(schema: Schema, key: str, node: Any) -> Schema:
    """Returns the schema of a key of a mapping."""
    for one in _alternatives(schema):
        one = _of_kind(one, node)
        if key in one.get("properties", ()):
            return _resolved(one["properties"][key])
        if isinstance(one.get("additionalProperties"), dict):
            return _resolved(one["additionalProperties"])
    return NOTHING


def _of_kind(schema: Schema, node: Any) -> Schema:
    """Returns the schema of a value's `kind`, if each kind has one."""
    if "discriminator" not in schema:
        return schema
    kind = node.get("kind") if isinstance(node, dict) else None
    return _resolved({"$ref": schema["discriminator"]["mapping"].get(kind, "")})


def _resolved(schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = _whole()["$defs"].get(schema["$ref"].rpartition("/")[2], NOTHING)
    return found


def _alternatives(schema: Schema) -> list[Schema]:
    return [_resolved(one) for one in schema.get("anyOf", [schema])]


def _refusal(config: dict[str, Any], place: tuple[int | str, ...]) -> UserError:
    keys, value = [], config  # pydantic's location also has the alternatives of a union and the places in a list
    for number, key in enumerate(place):
        if isinstance(value, dict) and (key in value or number == len(place) - 1):
            keys.append(str(key))
            value = value.get(str(key), NOTHING)
    path = ".".join(keys)
    if value is NOTHING and keys[0] == "dataset":
        dataset = config["dataset"]
        kind = dataset["kind"]
        lacks = [key for key in _of_kind(schema_of("dataset", config), dataset)["required"] if key not in dataset]
        listed = ", ".join(f"dataset.{key}" for key in lacks)
        return UserError(f"dataset.kind={kind} needs {listed}; choose dataset={kind}")
    if value is NOTHING:
        return UserError(f"{path} is missing; every trial needs it")
    schema = schema_of(path, config)
    if schema is NOTHING:
        return UserError(f"{path} is an unknown key; leave it out")
    if kinds := schema.get("discriminator"):
        return unknown(f"{path}.kind", as_typed(value.get("kind")), kinds["mapping"])
    choices = [choice for one in _alternatives(schema) for choice in _choices(one)]
    items = _choices(schema.get("items", NOTHING))
    if items and isinstance(value, list) and (wrong := [one for one in value if as_typed(one) not in items]):
        return unknown(f"{path}:", wrong[0], items)
    if choices and len(choices) >= len(_alternatives(schema)):
        return unknown(path, as_typed(value), choices)
    return UserError(f"{path}={shown(as_typed(value))} is refused; give {wanted(schema)}")


def _choices(schema: Schema) -> list[str]:
    """Returns the values that a schema allows, if it lists them."""
    if schema.get("type") == "null":
        return ["null"]
    return [as_typed(one) for one in schema.get("enum", [schema["const"]] if "const" in schema else [])]


def _wanted(schema: Schema) -> str:
    if "words" in schema:
        return str(schema["words"])
    match schema.get("type"):
        case "integer":
            return "a whole number" + _limits(schema, ", {} or more")
        case "number":
            return "a number" + _limits(schema, " {:.0f} or more")
        case "array":
            return _listed(schema)
        case "boolean":
            return "true or false"
        case "object":
            return "settings"
        case "null":
            return "null"
    return ", or ".join(_choices(schema)) or "a word"


def _limits(schema: Schema, least: str) -> str:
    words = least.format(schema["minimum"]) if "minimum" in schema else ""
    for key, text in (
        ("exclusiveMinimum", " above {}"),
        ("maximum", " and at most {}"),
        ("exclusiveMaximum", " and below {}"),
    ):
        words += text.format(int(schema[key])) if key in schema else ""
    return words


def _listed(schema: Schema) -> str:
    items = _choices(schema["items"])
    return f"a list such as [{','.join(items)}]" if items else f"a list, each item {wanted(schema['items'])}"
