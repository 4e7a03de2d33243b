"""Users of an instance, and the databases they may use."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.handlers import statements
from trove_ng.api.handlers.guest import connect
from trove_ng.common.secret import Secret
from trove_ng.rpc.messages import PageRequest, UserChange, UserSpec


def _view(user: UserSpec) -> dict[str, Any]:
    return {"name": user.name, "host": user.host,
            "databases": [{"name": name} for name in user.databases]}


def who(call: Call) -> tuple[str, str | None]:
    """Return name and host of the path's user, which is ``name`` or ``name@host``."""
    segment = call.params["user"]
    name, at, host = segment.rpartition("@")
    return (name, host) if at and name and host else (segment, None)


def index(call: Call) -> dict[str, Any]:
    """List users."""
    page = PageRequest(limit=call.limit(), marker=call.marker())
    guest, _ = connect(call, "users")
    found = guest.list_users(page)
    return call.page("users", [_view(user) for user in found.users], found.next_marker)


def create(call: Call) -> None:
    """Create users with their grants, all or none."""
    guest, engine = connect(call, "users", changes=True)
    guest.create_users(statements.users(engine, call.body["users"]))


def change_passwords(call: Call) -> None:
    """Set the passwords of several users."""
    guest, engine = connect(call, "users", changes=True)
    guest.change_passwords(statements.users(engine, call.body["users"]))


def show(call: Call) -> dict[str, Any]:
    """Show a user."""
    name, host = who(call)
    guest, engine = connect(call, "users")
    statements.user_name(engine, name, host)
    return {"user": _view(guest.get_user(name, host))}


def update(call: Call) -> None:
    """Change name, password or host of a user."""
    name, host = who(call)
    wanted = call.body["user"]
    guest, engine = connect(call, "users", changes=True)
    statements.user_name(engine, name, host)
    statements.user_name(engine, wanted.get("name", name), wanted.get("host", host))
    if "password" in wanted:
        statements.password(engine, wanted["password"])
    secret = Secret(wanted["password"]) if "password" in wanted else None
    guest.update_user(name, host, UserChange(
        name=wanted.get("name"), password=secret, host=wanted.get("host")))


def delete(call: Call) -> None:
    """Drop a user."""
    name, host = who(call)
    guest, engine = connect(call, "users", changes=True)
    statements.user_name(engine, name, host)
    guest.delete_user(name, host)


def list_access(call: Call) -> dict[str, Any]:
    """List the databases that a user may use."""
    name, host = who(call)
    guest, engine = connect(call, "users")
    statements.user_name(engine, name, host)
    return {"databases": [{"name": item.name} for item in guest.list_access(name, host)]}


def grant_access(call: Call) -> None:
    """Grant databases to a user."""
    name, host = who(call)
    guest, engine = connect(call, "users", changes=True)
    statements.user_name(engine, name, host)
    names = [item["name"] for item in call.body["databases"]]
    for one in names:
        statements.database_name(engine, one, call.services.conf.ignore_dbs)
    guest.grant_access(name, host, names)


def revoke_access(call: Call) -> None:
    """Revoke a database from a user."""
    name, host = who(call)
    guest, engine = connect(call, "users", changes=True)
    statements.user_name(engine, name, host)
    statements.database_name(engine, call.params["database"], call.services.conf.ignore_dbs)
    guest.revoke_access(name, host, [call.params["database"]])
