"""Bodies about databases, users and root."""

from __future__ import annotations

from trove_ng.api.schemas.common import (
    CHARSET,
    DATABASE_NAME,
    HOST,
    PASSWORD,
    USER_NAME,
    Schema,
    array,
    obj,
)

DATABASE: Schema = obj({"name": DATABASE_NAME, "character_set": CHARSET,
                        "collate": CHARSET}, ("name",))
_GRANTED: Schema = obj({"name": DATABASE_NAME}, ("name",))
USER: Schema = obj({
    "name": USER_NAME, "password": PASSWORD, "host": HOST,
    "databases": array(_GRANTED, maximum=1000)}, ("name", "password"))

DATABASES: Schema = obj({"databases": array(DATABASE, 1, 1000)}, ("databases",), examples=[
    {"databases": [{"name": "shop", "character_set": "utf8mb4"}]}])
USERS: Schema = obj({"users": array(USER, 1, 1000)}, ("users",), examples=[
    {"users": [{"name": "app", "password": "a-Password1", "host": "10.0.0.%",
                "databases": [{"name": "shop"}]}]}])
PASSWORDS: Schema = obj({"users": array(obj(
    {"name": USER_NAME, "password": PASSWORD, "host": HOST},
    ("name", "password")), 1, 1000)}, ("users",), examples=[
        {"users": [{"name": "app", "password": "a-Password2"}]}])
USER_UPDATE: Schema = obj({"user": obj(
    {"name": USER_NAME, "password": PASSWORD, "host": HOST}, minProperties=1)},
    ("user",), examples=[{"user": {"host": "10.1.0.%"}}])
GRANT: Schema = obj({"databases": array(_GRANTED, 1, 1000)}, ("databases",), examples=[
    {"databases": [{"name": "shop"}]}])
ROOT: Schema = {**obj({"password": PASSWORD}), "type": ["object", "null"],
                "examples": [{"password": "a-Password3"}]}
