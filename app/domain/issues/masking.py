"""The secrets of attempts, out of the log entries that they would appear in."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from app.domain.credentials.redaction import Masker
from app.protocol import LogEntry
from app.vault import Sealed, Vault, credential_binding

_KEPT = 2000
_SHAPES_ONLY = Masker(())


class Masks:
    """A masker for each credential in use, made once. A value that was replaced meanwhile goes on being masked."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: OrderedDict[UUID, tuple[dict[bytes, str], Masker]] = OrderedDict()

    def of(self, credential_id: UUID | None, secret: bytes | None, key_id: str | None) -> Masker:
        """Raises `UnknownKey` when the secret cannot be opened: rather no log than one that is not masked."""
        if credential_id is None or secret is None:
            return _SHAPES_ONLY
        secrets, masker = self._known.pop(credential_id, ({}, _SHAPES_ONLY))
        if secret not in secrets:
            secrets[secret] = self._vault.open(Sealed(secret, key_id), credential_binding(credential_id))
            masker = Masker(secrets.values())
        self._known[credential_id] = (secrets, masker)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return masker


def masked_outputs(masker: Masker, entries: Sequence[LogEntry]) -> list[str | None]:
    """The outputs of entries that follow each other; a secret may begin in one and end in the next of its step."""
    masked: list[str | None] = []
    for _, run in groupby(entries, key=lambda entry: entry.step_name):
        outputs = [entry.output for entry in run]
        texts = iter(masker.mask_stream([output or "" for output in outputs]))
        masked += [None if output is None else text for output, text in zip(outputs, texts, strict=True)]
    return masked
