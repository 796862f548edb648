"""Templates are written by strangers: none reaches into the server, none keeps it busy, none grows without bound."""

import time

import httpx2
import pytest
from speaking import MakeNode, Queue

PROMPTS = "/api/v1/prompts"
LIMIT = 256 * 1024
NESTED = "{% for a in range(40000) %}{% for b in range(40000) %}x{% endfor %}{% endfor %}"
REFUSED = {
    "class": "{{ ''.__class__ }}",
    "mro": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by subscript": "{{ issue['__class__'] }}",
    "class by filter": "{{ issue | attr('__class__') }}",
    "class by map": "{{ [issue] | map(attribute='__class__') | list }}",
    "globals of a function": "{{ range.__globals__ }}",
    "globals of a method": "{{ issue.items.__globals__ }}",
    "self": "{{ self.__init__ }}",
    "format": "{{ '{0.__class__}'.format(issue) }}",
    "wide format": "{{ '{:>999999999}'.format('x') }}",
    "format filter": "{{ '%999999999d' | format(1) }}",
    "huge range": "{{ range(999999999) | list | length }}",
    "huge loop": "{% for a in range(999999999) %}x{% endfor %}",
    "nested loops": NESTED,
    "silent nested loops": NESTED.replace("x", ""),
    "text times number": "{{ 'x' * 999999999 }}",
    "number times text": "{{ 999999999 * 'x' }}",
    "list times number": "{{ [1] * 999999999 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "percent": "{{ '%999999999d' % 1 }}",
    "doubling": "{% set a = 'x' %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "adding": "{% set a = 'x' %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "join": "{% set a = range(40000) | join('xxxxxxxxxxxxxxxx') %}{{ a }}",
    "replace": "{% set a = 'x' %}" + "{% set a = a | replace('x', 'xxxxxxxx') %}" * 12 + "{{ a }}",
    "center": "{{ 'x' | center(999999999) }}",
    "indent": "{{ 'x' | indent(999999999, true) }}",
    "ljust": "{{ 'x'.ljust(999999999) }}",
    "zfill": "{{ 'x'.zfill(999999999) }}",
    "expandtabs": "{{ '\t'.expandtabs(999999999) }}",
    "long output": "{% for a in range(40000) %}0123456789{% endfor %}",
    "batch": "{{ [1] | batch(999999999, 0) | list | length }}",
    "slice": "{{ [1] | slice(999999999) | list | length }}",
    "tojson": "{{ range(40000) | tojson }}",
    "wordwrap": "{{ 'x' | wordwrap(1, wrapstring='x' * 999999) }}",
    "recursive macro": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "extends": "{% extends 'base' %}",
    "deep nesting": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "deep lists": "{{ " + "[" * 20_000 + "]" * 20_000 + " }}",
    "deep negation": "{{ " + "not " * 15_000 + "1 }}",
    "the budget": "{{ budget! }}",
    "the environment": "{{ environment }}",
    "lipsum": "{{ lipsum(99999) }}",
    "cycler": "{{ cycler.__init__.__globals__ }}",
    "namespace": "{% set n = namespace(a=[]) %}{{ n }}",
    "unclosed": "{% if issue %}",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_hostile_template_is_refused_at_save_in_time(admin: httpx2.AsyncClient, name: str):
    began = time.perf_counter()
    answer = await admin.post(PROMPTS, json={"name": name, "content": REFUSED[name]})
    assert answer.status_code == 400, answer.text[:500]
    assert answer.json()["errors"][0]["field"] == "content"
    assert time.perf_counter() - began < 5
    assert (await admin.get(PROMPTS, params={"q": name})).json()["items"] == []


async def test_a_change_is_tried_as_a_new_prompt(admin: httpx2.AsyncClient):
    made = await admin.post(PROMPTS, json={"name": "mine", "content": "{{ issue.title }}"})
    path = f"{PROMPTS}/{made.json()['id']}"
    assert (await admin.patch(path, json={"content": REFUSED["class"]})).status_code == 400
    assert (await admin.get(path)).json()["content"] == "{{ issue.title }}"


@pytest.mark.parametrize(
    "content",
    [
        "{% for a in range(issue.description | length) %}{% for b in range(40000) %}{% endfor %}{% endfor %}",
        "{% for a in range(issue.priority) %}{{ issue.description }}{% endfor %}",
        "{{ issue.description | replace('x', issue.description) }}",
    ],
    ids=["loops", "output", "replace"],
)
async def test_what_is_hostile_for_one_issue_alone_does_not_hold_up_its_claim(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode, content: str
):
    """Harmless for the sample, or stored by an older installation: the node gets the default prompt behind it."""
    made = await admin.post(PROMPTS, json={"name": "mine", "content": "fine"})
    await queue.sql.execute("UPDATE prompt SET content = $1", content)
    assert made.status_code == 201
    await queue.add("Round once", description="x" * 60_000, priority=1000, prompt_id=made.json()["id"])
    node = await make_node()
    began = time.perf_counter()
    prompt = (await node.take())["prompt"]["content"]
    assert time.perf_counter() - began < 5
    assert "# Round once" in prompt
    assert len(prompt) <= LIMIT + len(content)


async def test_an_empty_prompt_of_an_older_installation_is_the_built_in_one(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode
):
    made = await admin.post(PROMPTS, json={"name": "Old", "content": "x"})
    await queue.sql.execute("UPDATE prompt SET content = ''")
    await queue.add("Round once", prompt_id=made.json()["id"])
    prompt = (await (await make_node()).take())["prompt"]
    assert prompt["id"] == made.json()["id"]
    assert "# Round once" in prompt["content"]


async def test_what_reaches_into_the_server_is_an_empty_place_in_a_stored_prompt(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode
):
    made = await admin.post(PROMPTS, json={"name": "mine", "content": "fine"})
    await queue.sql.execute("UPDATE prompt SET content = 'a{{ issue.__class__ }}b{{ range.__globals__ }}c'")
    await queue.add(prompt_id=made.json()["id"])
    assert (await (await make_node()).take())["prompt"]["content"] == "abc"


async def test_what_prompts_need_is_there(admin: httpx2.AsyncClient):
    content = (
        "{% for each in earlier %}{{ loop.index }}: {{ each.error_message | upper }}{% endfor %}"
        "{% set n = issue.requires | join(', ') %} {{ n }} {{ issue.title.split()[0] }} {{ '%s' }}"
        "{{ (issue.description or '') | truncate(4, true, '') }}"
    )
    answer = await admin.post(f"{PROMPTS}/preview", json={"content": content})
    assert answer.json() == {"rendered": "1: 2 TESTS FAILED gpu Sums %sadd("}
