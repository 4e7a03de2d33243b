"""Projects, users, roles and who has which where."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from trove_ng.standalone.minicloud.config import User
from trove_ng.standalone.minicloud.keystone_tokens import hash_password
from trove_ng.standalone.minicloud.nova_call import CloudFault
from trove_ng.standalone.minicloud.store import Document, Store

DOMAIN: Document = {"id": "default", "name": "Default", "enabled": True, "description": "",
                    "options": {}, "tags": []}
ROLES = ("admin", "member", "reader", "service", "ResellerAdmin")


class People:
    """The documents of the identity service."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def seed(self, users: Sequence[User]) -> None:
        """Make roles, and the configured users; a changed password is taken over."""
        with self._store.transaction():
            for name in ROLES:
                if self.named("role", name) is None:
                    self.create("role", {"name": name})
            for user in users:
                self._seed_user(user)

    def _seed_user(self, user: User) -> None:
        project = self.named("project", user.project) or self.create(
            "project", {"name": user.project})
        found = self.named("user", user.name)
        if found is None:
            found = self.create("user", {
                "name": user.name, "password": user.password.reveal(),
                "default_project_id": project["id"]})
        else:
            found["password_hash"] = hash_password(user.password.reveal())
            self._store.put("user", found["id"], found, "")
        for name in user.roles:
            role = self.named("role", name)
            if role is not None:
                self.assign(project["id"], found["id"], role["id"])

    def create(self, kind: str, values: Document) -> Document:
        """Add a project, user or role; its name must be new."""
        name = values.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= 64:
            raise CloudFault(400, f"{kind}.name must be a string of 1 to 64 characters.")
        if self.named(kind, name):
            raise CloudFault(409, f"Conflict occurred attempting to store {kind} - Duplicate "
                                  f"entry found with name {name}.")
        document: Document = {"id": uuid.uuid4().hex, "domain_id": DOMAIN["id"],
                              "enabled": True, "description": "", "options": {}, "tags": []}
        if kind == "project":
            document |= {"parent_id": DOMAIN["id"], "is_domain": False}
        document |= {key: value for key, value in values.items()
                     if key not in ("id", "password")}
        if kind == "user":
            document["password_hash"] = hash_password(str(values.get("password") or ""))
            document["password_expires_at"] = None
        self._store.put(kind, document["id"], document, "")
        return document

    def get(self, kind: str, ident: str) -> Document:
        """Return a document.

        :raises CloudFault: 404
        """
        found = self._store.get(kind, ident)
        if found is None:
            raise CloudFault(404, f"Could not find {kind}: {ident}.")
        return found

    def named(self, kind: str, name: str) -> Document | None:
        """Return the document with a name."""
        return next((one for one in self.all(kind) if one["name"] == name), None)

    def all(self, kind: str) -> list[Document]:
        """Return all documents of a kind."""
        return self._store.list(kind)

    def delete(self, kind: str, ident: str) -> None:
        """Delete a document, with what it was assigned."""
        self.get(kind, ident)
        with self._store.transaction():
            self._store.delete(kind, ident)
            for one in self._store.list("assignment"):
                if ident in (one["project"], one["user"], one["role"]):
                    self._store.delete("assignment", one["id"])

    def assign(self, project_id: str, user_id: str, role_id: str) -> None:
        """Give a user a role in a project."""
        ident = f"{project_id}:{user_id}:{role_id}"
        self._store.put("assignment", ident, {
            "id": ident, "project": project_id, "user": user_id, "role": role_id}, "")

    def unassign(self, project_id: str, user_id: str, role_id: str) -> None:
        """Take a role away."""
        ident = f"{project_id}:{user_id}:{role_id}"
        if self._store.get("assignment", ident) is None:
            raise CloudFault(404, "Could not find role assignment.")
        self._store.delete("assignment", ident)

    def assignments(self) -> list[Document]:
        """Return all assignments."""
        return self._store.list("assignment")

    def roles_in(self, user_id: str, project_id: str) -> list[Document]:
        """Return the roles of a user in a project."""
        wanted = [one["role"] for one in self.assignments()
                  if one["user"] == user_id and one["project"] == project_id]
        return [role for role in self.all("role") if role["id"] in wanted]

    def projects_of(self, user_id: str) -> list[Document]:
        """Return the projects in which a user has a role."""
        wanted = {one["project"] for one in self.assignments() if one["user"] == user_id}
        return [project for project in self.all("project") if project["id"] in wanted]
