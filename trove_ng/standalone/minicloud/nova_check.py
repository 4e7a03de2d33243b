"""Checks of Nova's request bodies. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any

from trove_ng.standalone.minicloud import nova_configdrive
from trove_ng.standalone.minicloud import nova_errors as errors

Version = tuple[int, int]
Document = dict[str, Any]
_UUID = re.compile(r"^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$", re.IGNORECASE)
_HOSTNAME = re.compile(r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$")

CREATE_KEYS = frozenset((
    "name", "imageRef", "flavorRef", "adminPass", "metadata", "networks", "OS-DCF:diskConfig",
    "accessIPv4", "accessIPv6", "personality", "security_groups", "user_data",
    "availability_zone", "block_device_mapping", "block_device_mapping_v2", "config_drive",
    "key_name", "min_count", "max_count", "return_reservation_id", "description", "tags",
    "trusted_image_certificates", "host", "hypervisor_hostname", "hostname",
))


def bad(field: str, value: Any, reason: str) -> Exception:
    """Return the fault for a field, in Nova's words."""
    return errors.bad_request(
        f"Invalid input for field/attribute {field}. Value: {value}. {reason}")


def body(document: Any, key: str) -> Document:
    """Return the object below ``key`` of a request's body."""
    if not isinstance(document, dict) or not isinstance(document.get(key), dict):
        raise errors.bad_request(f"Invalid input for field/attribute {key}. "
                                 f"'{key}' is a required property")
    found: Document = document[key]
    return found


def only(document: Document, allowed: Collection[str], where: str) -> None:
    """Refuse keys that the resource does not know."""
    unknown = sorted(set(document) - set(allowed))
    if unknown:
        raise bad(where, json.dumps(document, default=str)[:200],
                  "Additional properties are not allowed "
                  f"({', '.join(repr(one) for one in unknown)} was unexpected)")


def name(value: Any, field: str = "name") -> str:
    """Accept the name of a resource: 1 to 255 characters that are not only blanks."""
    if not isinstance(value, str) or not value.strip() or len(value) > 255:
        raise bad(field, value, f"{value!r} is not a name of 1 to 255 characters")
    return value.strip()


def uuid(value: Any, field: str) -> str:
    """Accept a UUID."""
    if not isinstance(value, str) or not _UUID.match(value):
        raise bad(field, value, f"{value!r} is not a 'uuid'")
    return value


def metadata(value: Any) -> dict[str, str]:
    """Accept the metadata of a server: strings of at most 255 characters."""
    if not isinstance(value, dict):
        raise bad("metadata", value, f"{value!r} is not of type 'object'")
    for key, item in value.items():
        if not 1 <= len(key) <= 255:
            raise bad("metadata", value, f"{key!r} does not match any of the regexes")
        if not isinstance(item, str) or len(item) > 255:
            raise bad(key, item, f"{item!r} is not a string of at most 255 characters")
    return dict(value)


def boolean(value: Any, field: str) -> bool:
    """Accept what Nova takes for a boolean."""
    known: dict[Any, bool] = {
        "true": True, "1": True, "yes": True, "on": True, "t": True, "y": True,
        "false": False, "0": False, "no": False, "off": False, "f": False, "n": False,
        "": False, "none": False,
    }
    found = known.get(str(value).lower())
    if found is None:
        raise bad(field, value, f"{value!r} is not one of [True, False]")
    return found


def whole(value: Any, field: str, least: int, convert: Callable[[Any], int] = int) -> int:
    """Accept an integer, also in a string."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = convert(value)
    except (TypeError, ValueError):
        raise bad(field, value, f"{value!r} is not an integer") from None
    if number < least:
        raise bad(field, value, f"{number} is less than the minimum of {least}")
    return number


def user_data(value: Any) -> str | None:
    """Accept base64 text of at most 65535 characters."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 65535:
        raise bad("user_data", "…", "it is too long")
    try:
        nova_configdrive.decode_user_data(value)
    except ValueError:
        raise bad("user_data", "…", "it is not a 'base64'") from None
    return value


def hostname(wanted: Any, server_name: str, server_id: str) -> str:
    """Return the host name of a server: the wanted one, or one made of its name."""
    if wanted is not None:
        if not isinstance(wanted, str) or not _HOSTNAME.match(wanted):
            raise bad("hostname", wanted, f"{wanted!r} is not a host name")
        return wanted
    plain = re.sub(r"[ _.]", "-", server_name)
    plain = re.sub(r"[^\w-]+", "", plain.encode("ascii", "ignore").decode()).lower()
    plain = re.sub("-+", "-", plain).strip("-")[:63].strip("-")
    return plain or f"server-{server_id}"


def networks(value: Any, version: Version) -> str | list[Document]:
    """Return ``auto``, ``none``, or the networks and ports that were asked for."""
    if isinstance(value, str) and version >= (2, 37):
        if value not in ("auto", "none"):
            raise bad("networks", value, f"{value!r} is not one of ['none', 'auto']")
        return value
    if value is None:
        if version >= (2, 37):
            raise bad("server", "…", "'networks' is a required property")
        return "auto"
    if not isinstance(value, list):
        raise bad("networks", value, f"{value!r} is not of type 'array'")
    found: list[Document] = []
    for one in value:
        if not isinstance(one, dict):
            raise bad("networks", one, f"{one!r} is not of type 'object'")
        only(one, ("uuid", "port", "fixed_ip", "tag"), "networks")
        if one.get("port"):
            found.append({"port": uuid(one["port"], "port")})
        elif one.get("uuid"):
            found.append({"uuid": uuid(one["uuid"], "uuid"), "fixed_ip": one.get("fixed_ip")})
        else:
            raise bad("networks", one, "'uuid' or 'port' is a required property")
    return found or "auto"


def block_devices(value: Any) -> list[Document]:
    """Return the disks of a server: only those that the minicloud can provide.

    Those with ``local`` are empty ones of the server's own.  ``boot_index`` 0 is the image on
    the server's root disk; a server of the minicloud does not boot from a volume.
    """
    found = []
    for one in value or []:
        if not isinstance(one, dict):
            raise bad("block_device_mapping_v2", one, f"{one!r} is not of type 'object'")
        source = one.get("source_type", "volume" if one.get("uuid") else "blank")
        target = one.get("destination_type", "volume")
        index = one.get("boot_index")
        if source == "image" and target == "local" and index in (0, "0"):
            continue
        local = (source, target) == ("blank", "local") and one.get("guest_format") != "swap"
        if not local and (source not in ("volume", "blank", "snapshot") or target != "volume") \
                or index in (0, "0"):
            raise errors.bad_request(
                "Block Device Mapping is Invalid: this cloud does not boot from a volume, and "
                f"gives no {source} on a {target} device.")
        if source != "blank" and not one.get("uuid"):
            raise errors.bad_request("Block Device Mapping is Invalid: missing uuid.")
        found.append({
            "source": source, "local": local, "uuid": one.get("uuid"),
            "device": one.get("device_name"),
            "size": one.get("volume_size"), "tag": one.get("tag"),
            "volume_type": one.get("volume_type"),
            "delete_on_termination": boolean(
                one.get("delete_on_termination", False), "delete_on_termination"),
        })
    return found
