"""Functions of others, endpoints that allow some functions only, and who one is."""

from __future__ import annotations

import pytest
from tests.interop.endpoints import Files

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_functions_of_others(cell):
    """functions of others: public, of a group, and neither"""
    guest = cell.deployment.make_client("guest")
    (group, code) = cell.deployment.scripts("ours", guest).run("""
        group = Client().create_group("together")
        said(group["id"])
        said(Client().invite_to_group(group["id"])["code"])
    """)
    cell.deployment.scripts("ours").run("Client().join_group(sys.argv[1])", code)
    functions = cell.deployment.scripts(cell.client.whose, guest).run(
        """
        client = Client()
        def double(x):
            return 2 * x
        for how in {"public": True}, {"group": sys.argv[1]}, {}:
            said(client.register_function(double, **how))
        """,
        group,
    )
    said = cell.run(
        """
        for function in sys.argv[1:]:
            ex = Executor(endpoint, api_burst_limit=1000)
            future = ex.submit_to_registered_function(function, args=(4,))
            error = future.exception(50)
            said(future.result() if error is None else [error.http_status, error.code])
            ex.shutdown(wait=False, cancel_futures=True)
        """,
        *functions,
    )
    assert said == [8, 8, [403, "FUNCTION_ACCESS_FORBIDDEN"]]


def test_functions_that_an_endpoint_allows(deployment, whose_client, whose_endpoint):
    """an endpoint that allows some functions only"""
    client = deployment.scripts(whose_client)
    allowed, other = client.run("""
        said(Client().register_function(pow))
        said(Client().register_function(divmod))
    """)
    manager = f"heartbeat_period: 5\nallowed_functions:\n  - {allowed}\n"
    endpoint = deployment.new_endpoint(whose_endpoint, Files(manager=manager), name="picky")
    endpoint.configure()
    endpoint.start()
    try:
        listed, fine, refused = client.run(
            """
            client = Client()
            said([client.get_allowed_functions(endpoint)["restricted"],
                  client.get_allowed_functions(endpoint)["functions"]])
            with Executor(endpoint) as ex:
                said(ex.submit_to_registered_function(sys.argv[1], args=(2, 3)).result(50))
            ex = Executor(endpoint)
            error = ex.submit_to_registered_function(sys.argv[2], args=(2, 3)).exception(50)
            said([error.http_status, error.code])
            ex.shutdown(wait=False, cancel_futures=True)
            """,
            allowed,
            other,
            ENDPOINT=endpoint.id,
        )
    finally:
        endpoint.stop()
    assert listed == [True, [allowed]]
    assert fine == 8
    assert refused == [403, "FUNCTION_NOT_PERMITTED"]


def test_who_one_is(deployment, whose_client):
    """`whoami`"""
    command = ("afield", "whoami", "--json") if whose_client == "ours" else ("globus-compute-endpoint", "whoami")
    done = deployment.scripts(whose_client).command(*command)
    assert done.returncode == 0, done.stderr
    assert deployment.credentials[0] in done.stdout


def test_logging_out(deployment, whose_client):
    """`logout`, after which one comes in again"""
    said = deployment.scripts(whose_client).run("""
        client = Client()
        client.get_endpoints()
        client.logout()
        said(len(Client().get_endpoints()) > 0)
    """)
    assert said == [True]
