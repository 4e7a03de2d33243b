"""What errors of the clients mean."""

from __future__ import annotations

import pytest
from cinderclient import exceptions as cinder
from keystoneauth1 import exceptions as keystone
from neutronclient.common import exceptions as neutron
from novaclient import exceptions as nova
from swiftclient.exceptions import ClientException as SwiftError

from trove_ng.cloud import errors


@pytest.mark.parametrize(("error", "kind"), [
    (nova.NotFound(404), errors.CloudNotFound),
    (nova.Conflict(409), errors.CloudConflict),
    (nova.Forbidden(403, "Quota exceeded for instances"), errors.CloudOverQuota),
    (nova.Forbidden(403, "Policy does not allow"), errors.CloudRejected),
    (nova.ClientException(503), errors.CloudUnavailable),
    (cinder.OverLimit(413, "VolumeSizeExceedsAvailableQuota"), errors.CloudOverQuota),
    (neutron.OverQuotaClient(message="Quota exceeded"), errors.CloudOverQuota),
    (neutron.PortNotFoundClient(), errors.CloudNotFound),
    (neutron.ConnectionFailed(reason="refused"), errors.CloudUnavailable),
    (keystone.ConnectFailure("refused"), errors.CloudUnavailable),
    (keystone.Unauthorized(), errors.CloudRejected),
    (SwiftError("no", http_status=404), errors.CloudNotFound),
    (SwiftError("no", http_status=500), errors.CloudUnavailable),
])
def test_errors_are_translated(error: Exception, kind: type[errors.CloudError]) -> None:
    found = errors.translate(error, "compute")
    assert type(found) is kind
    assert found.retryable is (kind is errors.CloudUnavailable)


def test_no_signature_or_token_is_shown() -> None:
    found = errors.translate(
        RuntimeError("GET http://x/?temp_url_sig=abcdef failed, token=xyz"), "object store")
    assert "abcdef" not in found.message
    assert "xyz" not in found.message


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(errors.CloudConflict, match="busy"), errors.translated("compute"):
        raise errors.CloudConflict("busy")
