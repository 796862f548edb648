"""Masking secrets before a log entry is stored.

Exact values are looked for as they are, Base64-encoded at any offset, URL-quoted and JSON-escaped; beside them, the
well-known shapes of tokens. Entries of one step are one stream: a secret may begin in one and end in the next.
"""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 4
"""A shorter secret would mask half of every log."""
_SHORTEST_ENCODED = 8

# What must occur in a text for the expression to be worth trying, and the expression.
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (("nyr_", "nyn_", "nyu_"), re.compile(r"ny[rnu]_[0-9A-Za-z]{49}")),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"gh[pousr]_[0-9A-Za-z]{36,255}")),
    (("github_pat_",), re.compile(r"github_pat_[0-9A-Za-z_]{22,255}")),
    (("glpat-",), re.compile(r"glpat-[0-9A-Za-z_-]{20,}")),
    (("sk-",), re.compile(r"(?<![0-9A-Za-z])sk-[0-9A-Za-z_-]{20,}")),
    (("key_",), re.compile(r"(?<![0-9A-Za-z_])key_[0-9a-f]{32,}")),
    (("xox",), re.compile(r"xox[abeoprs]-[0-9A-Za-z-]{10,}")),
    (("AKIA", "ASIA"), re.compile(r"(?<![0-9A-Za-z])A[KS]IA[0-9A-Z]{16}(?![0-9A-Za-z])")),
    (("AIza",), re.compile(r"AIza[0-9A-Za-z_-]{35}")),
    (("npm_",), re.compile(r"(?<![0-9A-Za-z_])npm_[0-9A-Za-z]{36}")),
    (("hf_",), re.compile(r"(?<![0-9A-Za-z_])hf_[0-9A-Za-z]{30,}")),
    (("pypi-",), re.compile(r"pypi-[0-9A-Za-z_-]{50,}")),
    (("eyJ",), re.compile(r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]+")),
    (
        ("PRIVATE KEY",),
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    ),
    (("://",), re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")),
    (("earer ",), re.compile(r"(?<=[Bb]earer )[0-9A-Za-z._~+/=-]{16,}")),
)


def _rarest(marker: str) -> str:
    """A letter of the marker that texts have seldom; else the marker itself."""
    return next((letter for letter in "_-:AJPo" if letter in marker), marker)


# By that letter: one look for it rules all of them out, which costs less than a look for each.
_MARKERS = {
    letter: [marker for markers, _ in _SHAPES for marker in markers if _rarest(marker) == letter]
    for letter in {_rarest(marker) for markers, _ in _SHAPES for marker in markers}
}


class Masker:
    """Knows the secrets of one attempt. Costs a search per form of each secret; make it once and keep it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._shapes = _SHAPES

    def within(self, *texts: str) -> "Masker | None":
        """A masker for parts of `texts`, which looks only for what occurs there; None when there is nothing to mask."""
        forms = [form for form in self._forms if any(form in text for text in texts)]
        markers = {marker for text in texts for marker in _occurring(text)}
        if not forms and not markers:
            return None
        narrowed = Masker(())
        narrowed._forms = forms
        narrowed._shapes = tuple(shape for shape in _SHAPES if not markers.isdisjoint(shape[0]))
        return narrowed

    def mask(self, text: str) -> str:
        return self.mask_stream([text])[0]

    def mask_stream(self, texts: Sequence[str]) -> list[str]:
        """The texts, which follow each other without a gap, each with its part of every secret masked."""
        whole = "".join(texts)
        spans = _merged(self._find(whole))
        if not spans:
            return list(texts)
        masked: list[str] = []
        begin = 0
        for text in texts:
            masked.append(_without(whole, spans, begin, begin + len(text)))
            begin += len(text)
        return masked

    def _find(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + 1)
        for markers, shape in self._shapes:
            if any(marker in text for marker in markers):
                for match in shape.finditer(text):
                    yield match.span()


def _occurring(text: str) -> Iterator[str]:
    for letter, markers in _MARKERS.items():
        if letter in text:
            yield from (marker for marker in markers if marker in text)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret), quote_plus(secret, safe="/:")}
    yield from quoted
    yield from {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in quoted}
    escaped = json.dumps(secret)[1:-1]
    yield from (escaped, json.dumps(secret, ensure_ascii=False)[1:-1], escaped.replace("/", "\\/"))
    yield json.dumps(escaped)[1:-1]
    data = secret.encode()
    for encode in (b64encode, urlsafe_b64encode):
        for offset in range(3):
            encoded = _inner_base64(encode(b"\0" * offset + data).decode(), offset, len(data))
            if len(encoded) >= _SHORTEST_ENCODED:
                yield encoded


def _inner_base64(encoded: str, offset: int, length: int) -> str:
    """The characters that the secret alone decides, wherever it stands within something larger."""
    first = (offset * 8 + 5) // 6
    last = (offset + length) * 8 // 6
    return encoded[first:last]


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _without(whole: str, spans: Sequence[tuple[int, int]], begin: int, end: int) -> str:
    parts: list[str] = []
    at = begin
    for hidden_from, hidden_to in spans:
        if hidden_to <= at or hidden_from >= end:
            continue
        parts += [whole[at : max(at, hidden_from)], MASK]
        at = min(hidden_to, end)
    parts.append(whole[at:end])
    return "".join(parts)
