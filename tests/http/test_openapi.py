"""What a generator of clients relies on."""

import re
from pathlib import Path

import pytest

from app.asgi import create_app
from app.http import description
from app.settings import Settings

COMMITTED = Path(__file__).parents[2] / "openapi.json"


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    return create_app(Settings(secret_keys=("k",), home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def operations(described):
    paths = described.openapi_schema.to_schema()["paths"]
    return {
        operation["operationId"]: (path, method, operation)
        for path, item in paths.items()
        for method, operation in item.items()
    }


def test_the_committed_description_is_current(described):
    assert COMMITTED.read_bytes() == description.document(described), "run `make openapi`"


def test_every_operation_is_named_tagged_and_explains_its_refusals(operations):
    for name, (path, _, operation) in operations.items():
        assert re.fullmatch(r"[a-z]+(?:_[a-z]+)*", name), name
        assert operation["tags"], name
        if path.startswith("/api/"):
            for status in ("400", "401", "503"):
                assert "application/problem+json" in operation["responses"][status]["content"], (name, status)
            assert operation["security"], name


def test_every_body_of_an_operator_has_an_example(operations):
    for name, (_, _, operation) in operations.items():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, name


def test_only_logging_in_is_open_to_strangers(operations):
    strangers = {
        name
        for name, (path, _, operation) in operations.items()
        if path.startswith("/api/") and operation["security"] == [{}]
    }
    assert strangers == {"log_in"}


def test_the_items_of_lists_have_names(described):
    schemas = described.openapi_schema.to_schema()["components"]["schemas"]
    pages = [name for name in schemas if name.endswith("Page")]
    assert len(pages) > 10
    for name in pages:
        item = schemas[name]["properties"]["items"]["items"]
        assert item["$ref"].rpartition("/")[2] in schemas, name


def test_lists_share_one_shape(operations):
    for name, (_, _, operation) in operations.items():
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        if "cursor" in names:
            assert "limit" in names, name
