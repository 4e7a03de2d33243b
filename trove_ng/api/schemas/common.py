"""Pieces that schemas are made of."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def obj(properties: dict[str, Schema], required: tuple[str, ...] = (),
        **more: Any) -> Schema:
    """Return the schema of an object without other keys than the given ones."""
    schema: Schema = {"type": "object", "properties": properties,
                      "additionalProperties": False, **more}
    if required:
        schema["required"] = list(required)
    return schema


def array(items: Schema, minimum: int = 0, maximum: int | None = None) -> Schema:
    """Return the schema of a list."""
    schema: Schema = {"type": "array", "items": items}
    if minimum:
        schema["minItems"] = minimum
    if maximum is not None:
        schema["maxItems"] = maximum
    return schema


#: 1 to 255 characters, at least one of them a letter or digit
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                "pattern": r"^.*[0-9a-zA-Z]+.*$"}
#: the same, not only of the Latin alphabet; no control characters
TITLE: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                 "pattern": r"^[^\x00-\x1f\x7f]*[^\W_][^\x00-\x1f\x7f]*$"}
DESCRIPTION: Schema = {"type": ["string", "null"], "maxLength": 512}
UUID: Schema = {"type": "string",
                "pattern": r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}"
                           r"-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"}
#: a flavor's id, or a link that ends with it
FLAVOR_REF: Schema = {"oneOf": [
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"\S"},
    {"type": "integer", "minimum": 0}]}
#: GB, as a number or as digits
VOLUME_SIZE: Schema = {"oneOf": [
    {"type": "integer", "minimum": 1, "maximum": 2 ** 31 - 1},
    {"type": "string", "pattern": r"^0*[1-9][0-9]{0,8}$"}]}
PASSWORD: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                    "pattern": r"^[^\x00-\x1f\x7f]+$"}
USER_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                     "pattern": r"[0-9a-zA-Z]"}
HOST: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                "pattern": r"^%?[\w().:/-]*%?$"}
DATABASE_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                         "pattern": r"\S"}
CHARSET: Schema = {"type": ["string", "null"], "maxLength": 64,
                   "pattern": r"^[0-9A-Za-z_]*$"}
EMPTY: Schema = {"type": ["object", "null"], "additionalProperties": False,
                 "properties": {}}
