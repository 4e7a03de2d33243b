"""Pieces that schemas are made of.

The patterns mean the same to every dialect of regular expressions: they have no classes
like ``\\w``, whose characters differ, and a ``$`` is the end of the text.
"""

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


#: what ids of projects look like
PROJECT_ID = r"^[0-9A-Za-z_.-]{1,36}$"
#: no control characters
_PRINTABLE = r"[^\x00-\x1f\x7f]"
#: a letter or digit of the Latin alphabet, or a character of any other
_VISIBLE = r"([0-9A-Za-z]|[^\x00-\xa0])"
#: how datastores and their versions are called
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                "pattern": f"^{_PRINTABLE}*[0-9a-zA-Z]{_PRINTABLE}*$"}
#: what a user calls something, in any alphabet
TITLE: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                 "pattern": f"^{_PRINTABLE}*{_VISIBLE}{_PRINTABLE}*$"}
#: a region of the service catalog
REGION: Schema = {"type": ["string", "null"], "maxLength": 255, "pattern": f"^{_PRINTABLE}*$"}
DESCRIPTION: Schema = {"type": ["string", "null"], "maxLength": 512}
UUID: Schema = {"type": "string", "maxLength": 36,
                "pattern": r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}"
                           r"-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"}
#: a flavor's id, or a link that ends with it
FLAVOR_REF: Schema = {"oneOf": [
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{_PRINTABLE}+$"},
    {"type": "integer", "minimum": 0}]}
#: GB, as a number or as digits
VOLUME_SIZE: Schema = {"oneOf": [
    {"type": "integer", "minimum": 1, "maximum": 2 ** 31 - 1},
    {"type": "string", "maxLength": 40, "pattern": r"^0*[1-9][0-9]{0,8}$"}]}
PASSWORD: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                    "pattern": f"^{_PRINTABLE}+$"}
USER_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                     "pattern": f"^{_PRINTABLE}*[0-9a-zA-Z]{_PRINTABLE}*$"}
HOST: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                "pattern": r"^[0-9A-Za-z_().:%/-]+$"}
DATABASE_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                         "pattern": f"^{_PRINTABLE}*{_VISIBLE}{_PRINTABLE}*$"}
CHARSET: Schema = {"type": ["string", "null"], "maxLength": 64,
                   "pattern": r"^[0-9A-Za-z_]*$"}
#: a datastore version, or its default one
DATASTORE: Schema = obj({"type": NAME, "version": NAME, "version_number": NAME})
#: yes or no; released clients send 0 and 1
FLAG: Schema = {"enum": [True, False, 0, 1]}
EMPTY: Schema = {"type": ["object", "null"], "additionalProperties": False,
                 "properties": {}}
#: an IPv4 or IPv6 address
IP: Schema = {"type": "string", "maxLength": 45, "pattern": r"^[0-9a-fA-F.:]+$",
              "format": "ip"}
#: an address, or a network with the length of its prefix
CIDR: Schema = {"type": "string", "maxLength": 64,
                "pattern": r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$", "format": "cidr"}
