"""How functions and values travel."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_every_way_to_send_code(cell):
    """every strategy for code"""
    said = cell.run("""
        from {sdk}.serialize import (AllCodeStrategies, CombinedCode, ComputeSerializer, DillCode, DillCodeSource,
                                     DillCodeTextInspect, PureSourceDill, PureSourceTextInspect)
        def triple(x):
            # \u20ac
            return 3 * x
        for strategy in (AllCodeStrategies, CombinedCode, DillCode, DillCodeSource, DillCodeTextInspect,
                         PureSourceDill, PureSourceTextInspect):
            serializer = ComputeSerializer(strategy_code=strategy())
            with Executor(endpoint, serializer=serializer, api_burst_limit=1000) as ex:
                said(ex.submit(triple, 2).result(50))
    """)
    assert said == [6] * 7


def test_every_way_to_send_arguments(cell):
    """every strategy for arguments"""
    said = cell.run("""
        from {sdk}.serialize import AllDataStrategies, ComputeSerializer, DillDataBase64, JSONData
        for strategy in AllDataStrategies, DillDataBase64, JSONData:
            serializer = ComputeSerializer(strategy_data=strategy())
            with Executor(endpoint, serializer=serializer, api_burst_limit=1000) as ex:
                said(ex.submit(lambda *a, **k: [list(a), k], 1, "\u20ac", x={"y": None}).result(50))
    """)
    assert said == [[[1, "€"], {"x": {"y": None}}]] * 3


def test_results_as_the_client_wants_them(cell):
    """`result_serializers`, by path, also several"""
    as_json, refused, either = cell.run("""
        name = "globus_compute_sdk.serialize.concretes."
        with Executor(endpoint, result_serializers=[name + "JSONData"]) as ex:
            said(type(ex.submit(lambda: (1, 2)).result(50)).__name__)
            said(outcome(ex.submit(lambda: {1, 2})))
        with Executor(endpoint, result_serializers=[name + "JSONData", name + "DillDataBase64"]) as ex:
            said(sorted(ex.submit(lambda: {1, 2}).result(50)))
    """)
    assert as_json == "list"
    assert "SerializationError" in refused
    assert either == [1, 2]


def test_objects_of_classes_of_the_script(cell):
    """objects of a class of the script, there and back"""
    said = cell.run("""
        class Point:
            def __init__(self, x, y):
                self.x, self.y = x, y
        def mirrored(point):
            return type(point)(point.y, point.x)
        with Executor(endpoint) as ex:
            point = ex.submit(mirrored, Point(1, 2)).result(50)
            said([type(point).__name__, point.x, point.y])
    """)
    assert said == [["Point", 2, 1]]


def test_code_that_is_registered(cell):
    """`register_source_code`, `register_function`, `submit_to_registered_function`"""
    said = cell.run("""
        client = Client()
        source = "def times_four(x):\\n    # \u20ac \U0001f600\\n    return 4 * x\\n"
        from_source = client.register_source_code(source, "times_four")
        with Executor(endpoint) as ex:
            said(ex.submit_to_registered_function(from_source, args=(2,)).result(50))
            known = ex.register_function(lambda x, y=1: x + y)
            said(ex.submit_to_registered_function(known, args=(2,), kwargs={"y": 5}).result(50))
        said(client.get_function(from_source)["function_name"])
        client.delete_function(from_source)
    """)
    assert said == [8, 7, "times_four"]
