"""The published packages, unmodified, at a service that is not where they look for one: `afield env` and `forward`."""

from __future__ import annotations

import re

import msgspec
import pytest
from tests.login.conftest import Site
from tests.published.conftest import Machine, tls_front

from afield.sdk.login import stored
from afield.service.settings import SignIn

#: Another test may have the port for long.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def elsewhere(authority, tmp_path_factory):
    """A service with accounts, behind TLS of its own institution."""
    place = tmp_path_factory.mktemp("elsewhere")
    site = Site(place, SignIn())
    site.ada = site.account("ada")
    with tls_front(authority, int(site.url.rpartition(":")[2])) as url:
        site.public = url
        yield site
    site.stop()


def test_a_service_elsewhere_through_a_way_to_it(the_port, elsewhere, authority, tmp_path):
    machine = Machine(tmp_path, AFIELD_SERVICE_URL=elsewhere.public, AFIELD_CA_FILE=str(authority.root))
    login = elsewhere.log_in()
    stored.keep(msgspec.structs.replace(login, service_url=elsewhere.public), machine.environ)
    said = machine.evaluate('eval "$(afield env)"')
    assert said["GLOBUS_SDK_SERVICE_URL_AUTH"] == f"{elsewhere.public}/"
    way = machine.start("forward")
    try:
        (tmp_path / "template.yaml").write_text("engine:\n  type: ThreadPoolEngine\n")
        machine.run("globus-compute-endpoint configure theirs --template-config template.yaml")
        with machine.started_endpoint("globus-compute-endpoint start theirs") as endpoint_id:
            assert machine.there_and_back(endpoint_id) == ["a/b", elsewhere.ada.id]
    finally:
        assert way.end() == 0
    assert re.search(r"after [1-9]\d* requests", way.said)
