"""The API's description is whole, and the pages that are made from the source say what it says."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from afield.service.api.openapi import EXTENSION_PREFIX, document
from afield.service.api.routes import ROUTES, description
from afield.service.api.samples import sample

LISTED = [route for route in ROUTES if route.is_listed]
DOCUMENT = document(LISTED, "test")
OPERATIONS = [
    pytest.param(DOCUMENT["paths"][route.path][route.method.lower()], route, id=f"{route.method} {route.path}")
    for route in LISTED
]
MAKER = Path(__file__).parents[2] / "docs" / "reference" / "make_service.py"


def conforms(value: object, schema: dict) -> None:
    jsonschema.validate(value, schema | {"components": DOCUMENT["components"]})


@pytest.mark.parametrize(("operation", "route"), OPERATIONS)
class TestEachRoute:
    def test_it_says_what_it_does(self, operation, route):
        assert operation["summary"]
        assert {one["name"] for one in operation.get("parameters", ())} == {*route.parameters, *route.query}

    def test_its_bodies_have_examples_of_their_shape(self, operation, route):
        bodies = [response["content"] for response in operation["responses"].values()]
        bodies += [operation["requestBody"]["content"]] if route.takes is not None else []
        for body in bodies:
            for kind, said in body.items():
                assert kind == "application/json" or "example" not in said
                if kind == "application/json":
                    conforms(said["example"], said["schema"])

    def test_its_refusals_have_the_published_shape(self, operation, route):
        refusals = {status: said for status, said in operation["responses"].items() if status != "200"}
        assert {"400", "404"} <= set(refusals)
        assert ("401" in refusals) != route.is_open
        for said in refusals.values():
            assert said["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
        assert "500" not in refusals

    def test_what_is_ours_is_marked(self, operation, route):
        published = route.path.startswith(("/v2/", "/v3/"))
        assert not (published and operation.get("x-afield-extension"))
        assert operation.get("x-afield-extension", False) or not route.path.startswith(EXTENSION_PREFIX)


@pytest.mark.anyio
async def test_the_whole_description_has_every_route():
    whole = await description(None)
    said = {(method.upper(), path) for path, methods in whole["paths"].items() for method in methods}
    assert said == {(route.method, route.path) for route in ROUTES}
    for methods in whole["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["responses"]
    names = [operation["operationId"] for methods in whole["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_an_example_is_of_its_type():
    """Not only of its shape: what the service reads, it reads."""
    for route in LISTED:
        if route.takes is not None:
            read = msgspec.json.decode(msgspec.json.encode(sample(route.takes)), type=route.takes)
            assert isinstance(read, route.takes)


def maker() -> Any:
    spec = spec_from_file_location("make_service_reference", MAKER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_say_what_the_source_says():
    made = maker()
    page = made.SETTINGS_PAGE.read_text()
    assert page == made.settings_text(page), "run python docs/reference/make_service.py"
    assert made.ROUTES_PAGE.read_text() == made.routes_text(), "run python docs/reference/make_service.py"


def test_every_setting_is_explained():
    """Where it is declared; a setting that nobody understands is none."""
    for line in maker().settings_text("").splitlines():
        if line.startswith("| `"):
            name, _, said = (part.strip() for part in line.strip("|").split(" | ", 2))
            assert len(said) > 10, name
