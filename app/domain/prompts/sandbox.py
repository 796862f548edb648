"""Jinja for strangers: what a template may say is listed, and what it may cost is counted.

A sandbox alone keeps a template from reading Python's insides, but not from running for ever or filling the memory.
So iterations, texts and numbers are charged to a budget, and whatever could multiply them unseen is refused.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from jinja2 import Environment, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateAssertionError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

TEXT_MAX = 256 * 1024
"""Characters that a rendered prompt, or any text on the way to it, may have."""
STEPS_MAX = 50_000
"""How many parts of loop bodies may run."""
CHARACTERS_MAX = 20_000_000
_NUMBER_BITS = 256
BUDGET = "budget!"
"""The name of the budget in a template's context; no template can spell it."""

_METHODS = frozenset(
    [
        "capitalize",
        "count",
        "endswith",
        "find",
        "get",
        "isdigit",
        "items",
        "keys",
        "lower",
        "lstrip",
        "removeprefix",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "title",
        "upper",
        "values",
    ]
)
_FILTERS = [
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "e",
    "escape",
    "first",
    "float",
    "int",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlize",
    "wordcount",
]
_REFUSED = (
    nodes.Macro,
    nodes.CallBlock,
    nodes.FilterBlock,
    nodes.AssignBlock,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
    nodes.With,
    nodes.ScopedEvalContextModifier,
)
_SCALARS = (str, int, float, type(None))


class Budget:
    """What one rendering may still cost."""

    def __init__(self) -> None:
        self._steps = STEPS_MAX
        self._characters = CHARACTERS_MAX

    def step(self, weight: int) -> None:
        self._steps -= weight
        if self._steps < 0:
            raise SecurityError("the template repeats too much")

    def text(self, value: str) -> None:
        self._characters -= len(value)
        if len(value) > TEXT_MAX or self._characters < 0:
            raise SecurityError("the text becomes too long")


def charged(context: Context, value: Any) -> Any:
    if isinstance(value, str):
        cast("Budget", context[BUDGET]).text(value)
    return value


@pass_context
def _each(context: Context, items: Iterable[Any], weight: int) -> Iterator[Any]:
    budget = cast("Budget", context[BUDGET])
    for item in items:
        budget.step(weight)
        yield item


@pass_context
def _scalar(context: Context, value: Any) -> Any:
    """A variable holds one text or number: lists of lists of lists could grow without bound."""
    if not isinstance(value, _SCALARS):
        raise SecurityError("a variable may hold one text or number, no list")
    return charged(context, value)


@pass_context
def _joined(context: Context, items: Iterable[Any], between: str = "") -> str:
    parts: list[str] = []
    size = 0
    for item in items:
        parts.append(as_text(item))
        size += len(parts[-1]) + len(between)
        if size > TEXT_MAX:
            raise SecurityError("the text becomes too long")
    return charged(context, str(between).join(parts))


@pass_context
def _replaced(context: Context, value: Any, old: str, new: str) -> str:
    text, old, new = as_text(value), str(old), str(new)
    if len(text) + text.count(old) * len(new) > TEXT_MAX:
        raise SecurityError("the text becomes too long")
    return charged(context, text.replace(old, new))


@pass_context
def _indented(context: Context, value: Any, width: int = 4, first: bool = False) -> str:
    lines = as_text(value).split("\n")
    if not 0 <= width <= 40 or len(lines) * width > TEXT_MAX:
        raise SecurityError("indent takes 0 to 40")
    text = ("\n" + " " * width).join(lines)
    return charged(context, " " * width + text if first else text)


def as_text(value: Any) -> str:
    if isinstance(value, Undefined):
        return str(value)
    if not isinstance(value, _SCALARS):
        raise SecurityError("a list or object is no text; name one of its fields, or use join")
    return value if isinstance(value, str) else "" if value is None else str(value)


class _Counted(NodeTransformer):
    """Puts the counting into the template, around every loop, variable and concatenation."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja names visitors after nodes.
        if node.recursive:
            raise TemplateAssertionError("recursive loops are not supported", node.lineno)
        weight = 1 + sum(1 for part in node.body for _ in part.find_all(nodes.Node))
        visited = cast("nodes.For", self.generic_visit(node))
        counted = [nodes.Const(weight, lineno=node.lineno)]
        visited.iter = nodes.Filter(visited.iter, "each!", counted, [], None, None, lineno=node.lineno)
        return visited

    def visit_Assign(self, node: nodes.Assign) -> nodes.Node:  # noqa: N802
        visited = cast("nodes.Assign", self.generic_visit(node))
        visited.node = nodes.Filter(visited.node, "scalar!", [], [], None, None, lineno=node.lineno)
        return visited

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        visited = cast("nodes.Concat", self.generic_visit(node))
        parts = nodes.List(visited.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if isinstance(node, _REFUSED):
            raise TemplateAssertionError(f"{type(node).__name__.lower()} is not supported here", node.lineno)
        return super().generic_visit(node, *args, **kwargs)


class Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self, **options: Any) -> None:
        super().__init__(autoescape=False, finalize=as_text, keep_trailing_newline=True, **options)
        self.globals = {"range": _range}
        builtin = self.filters
        self.filters = {name: _charging(builtin[name]) for name in _FILTERS}
        self.filters |= {"join": _joined, "replace": _replaced, "indent": _indented}
        self.filters |= {"each!": _each, "scalar!": _scalar}

    def compiled(self, source: str) -> Any:
        """Raises `jinja2.TemplateSyntaxError` with the line, also for what is refused."""
        counted = _Counted().visit(self.parse(source))
        template = self.from_string(cast("nodes.Template", counted))
        # Otherwise a chain of two, which each rendering would walk in Python.
        template.globals = dict(template.globals)
        return template

    def wrap_str_format(self, value: Any) -> None:
        """Leaves str.format as it is: refused, since one placeholder can be a billion characters wide."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return super().is_safe_attribute(obj, attr, value) and (not callable(value) or attr in _METHODS)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return charged(context, left + right)
        if operator == "**" or not (_is_small(left) and _is_small(right)):
            raise SecurityError(f"{operator} takes two numbers that are not huge")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return charged(context, super().call(context, obj, *args, **kwargs))


def _is_small(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and value.bit_length() < _NUMBER_BITS)


def _range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > STEPS_MAX:
        raise SecurityError("the range is too long")
    return made


def _charging(apply: Callable[..., Any]) -> Callable[..., Any]:
    """The filter as Jinja has it, with what it takes and gives counted."""
    how = getattr(apply, "jinja_pass_arg", None)

    @pass_context
    def charging(context: Context, *args: Any, **kwargs: Any) -> Any:
        for arg in args:
            charged(context, arg)
        if how is None:
            return charged(context, apply(*args, **kwargs))
        first: Environment | Context | Any = {"context": context, "environment": context.environment}.get(
            how.name, context.eval_ctx
        )
        return charged(context, apply(first, *args, **kwargs))

    return charging
