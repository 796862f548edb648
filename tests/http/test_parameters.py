"""Lists refuse a parameter that they do not have, since a misspelt filter would let everything through."""

from uuid import UUID

NOBODY = str(UUID(int=1))


async def lists_of(http):
    """Every list with the parameters that its description names."""
    paths = (await http.get("/schema/openapi.json")).json()["paths"]
    for path, item in paths.items():
        names = {each["name"] for each in item.get("get", {}).get("parameters", []) if each["in"] == "query"}
        if "cursor" in names:
            yield path.partition("{")[0] + (NOBODY + path.partition("}")[2] if "{" in path else ""), names


async def test_every_list_refuses_a_parameter_that_it_does_not_have(admin):
    found = [each async for each in lists_of(admin)]
    assert len(found) > 10
    for path, names in found:
        for query in ("statsu=failed", "limit=1&statsu=failed", "Limit=1"):
            answer = await admin.get(f"{path}?{query}")
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input"), path
            (error,) = answer.json()["errors"]
            assert error["field"] in {"statsu", "Limit"}
            assert error["message"].endswith(f" it takes {', '.join(sorted(names))}."), path


async def test_every_list_takes_the_parameters_of_its_description(admin):
    async for path, names in lists_of(admin):
        answer = await admin.get(path, params=dict.fromkeys(names, "no such value"))
        assert "no such parameter" not in answer.text, path
        assert (await admin.get(f"{path}?limit=1")).status_code in {200, 404}, path


async def test_what_is_no_list_and_what_nodes_call_heeds_no_further_parameter(admin, make_node):
    node = await make_node()
    for path in ("/auth/me", "/dashboard/stats", f"/nodes/{node.id}"):
        assert (await admin.get(f"/api/v1{path}?at=now")).status_code == 200
    claim = {"claim_id": NOBODY, "boot_id": node.boot_id, "max": 1}
    assert (await node.http.post("/api/v1/nodes/claim?at=now", json=claim)).status_code == 204
