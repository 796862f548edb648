"""Prompts are Jinja templates over `issue`, `repository`, `project`, `attempt` and `earlier`.

`earlier` lists the attempts before this one, oldest first, each with `number`, `failure_code` and `error_message`,
so that a second try can learn from the first. `repository` and `project` are none for an issue without them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import ChainableUndefined, StrictUndefined, TemplateError, TemplateSyntaxError

from app.domain.prompts.sandbox import BUDGET, TEXT_MAX, Budget, Sandbox
from app.errors import InvalidInput

Fields = Mapping[str, Any]

DEFAULT = """\
Work on the issue below, in the git repository that the current directory is a working copy of.
Make the change, and make sure that the tests of the project still pass. Do not commit and do not push: that is done \
for you.

# {{ issue.title }}{% if issue.issue_number %} (#{{ issue.issue_number }}){% endif %}

{{ issue.description or "There is no further description." }}
{% if earlier %}
This was tried before, without success:
{% for try in earlier %}
- Attempt {{ try.number }}: {{ try.failure_code or "failed" }}{% if try.error_message %}: \
{{ try.error_message | truncate(2000) }}{% endif %}
{% endfor %}
Do not repeat what failed.
{% endif %}
"""

SAMPLE: dict[str, Any] = {
    "issue": {
        "id": "0199d9a4-0000-7000-8000-000000000001",
        "title": "Sums are off by one",
        "description": "add(1, 2) gives 4.",
        "issue_number": 7,
        "repository_url": "https://github.com/acme/shop.git",
        "priority": 0,
        "requires": ["gpu"],
        "tool": "claude-code",
        "base_branch": "main",
    },
    "repository": {
        "id": "0199d9a4-0000-7000-8000-000000000002",
        "name": "shop",
        "url": "https://github.com/acme/shop.git",
        "description": "The shop.",
        "default_branch": "main",
    },
    "project": {"id": "0199d9a4-0000-7000-8000-000000000003", "name": "Shop", "description": "All about the shop."},
    "attempt": {"id": "0199d9a4-0000-7000-8000-000000000004", "number": 2, "branch": "nodeyard/7-a2"},
    "earlier": [{"number": 1, "failure_code": "tests_failed", "error_message": "2 tests failed"}],
}
_BROKEN = (TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

# A misspelt field is an error when the prompt is saved; when an issue is claimed it is only an empty place.
_strict = Sandbox(undefined=StrictUndefined)
_lenient = Sandbox(undefined=ChainableUndefined)


def check(template_text: str) -> None:
    """Try the template on a sample. Raises `InvalidInput` with the line and what is wrong there."""
    try:
        _render(_strict.compiled(template_text), SAMPLE)
    except TemplateSyntaxError as problem:
        raise InvalidInput(f"Line {problem.lineno}: {problem.message}", field="content") from problem
    except (*_BROKEN, SyntaxError, MemoryError) as problem:
        raise InvalidInput(f"Line {_line(problem)}: {problem}", field="content") from problem


def render(
    template_text: str,
    *,
    issue: Fields,
    repository: Fields | None,
    project: Fields | None,
    attempt: Fields,
    earlier: Sequence[Fields],
) -> str:
    """The prompt for this attempt, fields named as in `SAMPLE`. Never fails, since a claim waits for it:

    a text of an older installation that is no template is passed on as it is, with the default prompt behind it.
    """
    names = {"issue": issue, "repository": repository, "project": project, "attempt": attempt, "earlier": earlier}
    try:
        return _render(_compiled(template_text), names)
    except (*_BROKEN, SyntaxError, MemoryError):
        return f"{template_text}\n\n{_render(_compiled(DEFAULT), names)}"


@lru_cache(maxsize=512)
def _compiled(template_text: str) -> Any:
    return _lenient.compiled(template_text)


def _render(template: Any, names: Mapping[str, Any]) -> str:
    parts: list[str] = []
    size = 0
    for part in template.generate({**names, BUDGET: Budget()}):
        parts.append(part)
        size += len(part)
        if size > TEXT_MAX:
            raise ValueError(f"the prompt is longer than {TEXT_MAX} characters")
    return "".join(parts)


def _line(problem: BaseException) -> int:
    """Jinja rewrites tracebacks, so that the innermost frame of the template has the template's own line."""
    line, trace = 1, problem.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
