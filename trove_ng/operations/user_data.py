"""What a new server is told at its first boot.

Wire format: cloud-init's ``#cloud-config`` with ``write_files``; with an operator's own
template, a MIME multi-part archive of both.
"""

from __future__ import annotations

import base64
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import yaml

from trove_ng.common.secret import Secret


def guest_info(*, instance_id: str, name: str, manager: str, tenant_id: str,
               key: Secret) -> str:
    """Return the agent's configuration that only this instance has.

    :param key: its RPC key
    """
    lines = ["[DEFAULT]"]
    for option, value in (
            ("guest_id", instance_id), ("guest_name", name), ("datastore_manager", manager),
            ("tenant_id", tenant_id), ("instance_rpc_encr_key", key.reveal())):
        # a line break would begin another option; $ is oslo.config's substitution
        text = " ".join(value.split()).replace("$", "$$")
        lines.append(f"{option} = {text}")
    return "\n".join(lines) + "\n"


def build(files: dict[str, str], template: str | None = None) -> str:
    """Return the user data.

    :param files: path → content, readable for root only on the server
    :param template: the operator's additions, as cloud-init takes them
    """
    document = {"write_files": [
        {"path": path, "permissions": "0600", "owner": "root:root", "encoding": "b64",
         "content": base64.b64encode(content.encode()).decode()}
        for path, content in sorted(files.items())]}
    config = "#cloud-config\n" + yaml.safe_dump(document, sort_keys=True)
    if not template:
        return config
    archive = MIMEMultipart()
    archive.attach(MIMEText(config, "cloud-config"))
    kind = "x-shellscript" if template.startswith("#!") else "cloud-config"
    archive.attach(MIMEText(template, kind))
    return archive.as_string()
