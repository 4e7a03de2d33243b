"""Bodies about databases and users, turned into messages for an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trove_ng.common.errors import BadRequest
from trove_ng.common.secret import Secret
from trove_ng.datastores.base import Datastore
from trove_ng.rpc.messages import DatabaseSpec, UserSpec


def database_name(engine: Datastore, name: str, ignored: Sequence[str]) -> None:
    """Check the name of a database.

    :raises BadRequest: names the rule
    """
    engine.rules.check_database("database", name, ignored)


def user_name(engine: Datastore, name: str, host: str | None) -> None:
    """Check name and host of a user.

    :raises BadRequest: names the rule
    """
    engine.rules.check_user("user", name, host)


def password(engine: Datastore, text: str) -> None:
    """Check a password.

    :raises BadRequest: names the rule
    """
    engine.rules.check_password("password", text)


def databases(engine: Datastore, bodies: Sequence[dict[str, Any]],
              ignored: Sequence[str]) -> list[DatabaseSpec]:
    """Return what to create.

    :raises BadRequest: names field and rule
    """
    found, names = [], set()
    for number, body in enumerate(bodies):
        field = f"databases[{number}]"
        name = body["name"]
        engine.rules.check_database(f"{field}.name", name, ignored)
        engine.rules.check_charset(field, body.get("character_set"), body.get("collate"))
        if name in names:
            raise BadRequest(f"Validation error: {field}.name {name} is given twice.")
        names.add(name)
        found.append(DatabaseSpec(name=name, character_set=body.get("character_set"),
                                  collate=body.get("collate")))
    return found


def users(engine: Datastore, bodies: Sequence[dict[str, Any]],
          ignored: Sequence[str] = ()) -> list[UserSpec]:
    """Return whom to create, or whose password to change.

    :raises BadRequest: names field and rule
    """
    found, names = [], set()
    for number, body in enumerate(bodies):
        field = f"users[{number}]"
        name, host = body["name"], body.get("host")
        engine.rules.check_user(field, name, host)
        engine.rules.check_password(f"{field}.password", body["password"])
        if (name, host or "%") in names:
            raise BadRequest(f"Validation error: {field}.name {name} is given twice.")
        names.add((name, host or "%"))
        granted = [one["name"] for one in body.get("databases", [])]
        for index, one in enumerate(granted):
            engine.rules.check_database(f"{field}.databases[{index}].name", one, ignored)
        found.append(UserSpec(name=name, host=host, password=Secret(body["password"]),
                              databases=granted))
    return found
