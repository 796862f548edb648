"""The secrets of attempts, out of the log entries that they would appear in."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import groupby
from uuid import UUID

from app.domain.credentials.redaction import Masker
from app.domain.credentials.sealing import secrets_of
from app.protocol import LogEntry
from app.vault import Vault

_KEPT = 2000
SHAPES_ONLY = Masker(())


class Masks:
    """A masker for each credential in use, made anew when its secret is. Those that it had are masked too."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: OrderedDict[UUID, tuple[bytes, Masker]] = OrderedDict()

    def of(
        self, credential_id: UUID | None, secret: bytes | None, former_secrets: bytes | None, key_id: str | None
    ) -> Masker:
        """Raises `UnknownKey` when a secret cannot be opened: rather no log than one that is not masked."""
        if credential_id is None or secret is None:
            return SHAPES_ONLY
        known = self._known.pop(credential_id, None)
        if known is None or known[0] != secret:
            known = secret, Masker(secrets_of(self._vault, credential_id, secret, former_secrets, key_id))
        self._known[credential_id] = known
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return known[1]


def storable(masker: Masker, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
    """Entries that follow each other, as they may be stored: secrets are masked, NUL, which no text can hold, replaced.

    A secret may begin in the output of one and end in that of the next of its step.
    """
    # Has every text as a part, and also what the outputs are together.
    everything = "".join([entry.output or "" for entry in entries]), "\n".join(_other_texts(entries))
    found = masker.within(*everything)
    if found is None and not any("\0" in text for text in everything):
        return entries

    def clean(text: str | None) -> str | None:
        return text and (found.mask(text) if found else text).replace("\0", "\N{REPLACEMENT CHARACTER}")

    outputs = _masked_outputs(found, entries) if found else [entry.output for entry in entries]
    return [
        LogEntry(
            clean(entry.step_name) or "",
            entry.status,
            command=clean(entry.command),
            output=output and output.replace("\0", "\N{REPLACEMENT CHARACTER}"),
            error_message=clean(entry.error_message),
            duration_ms=entry.duration_ms,
            created_at=entry.created_at,
        )
        for entry, output in zip(entries, outputs, strict=True)
    ]


def _other_texts(entries: Sequence[LogEntry]) -> Iterator[str]:
    for entry in entries:
        yield entry.step_name
        if entry.command:
            yield entry.command
        if entry.error_message:
            yield entry.error_message


def _masked_outputs(masker: Masker, entries: Sequence[LogEntry]) -> list[str | None]:
    masked: list[str | None] = []
    for _, run in groupby(entries, key=lambda entry: entry.step_name):
        outputs = [entry.output for entry in run]
        texts = iter(masker.mask_stream([output or "" for output in outputs]))
        masked += [None if output is None else text for output, text in zip(outputs, texts, strict=True)]
    return masked
