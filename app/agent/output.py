"""What a process writes, made fit for the log: secrets masked, broken characters replaced, pieces of bounded size."""

import codecs
import re

from app.protocol import LOG_OUTPUT_MAX

MASK = "***"
# A byte that is no UTF-8 becomes three, so a block of this size never makes a piece above the bound.
BLOCK_BYTES = 16 * 1024
_TAIL_CHARACTERS = 4096


class Mask:
    """Replaces secrets in a stream, also where a secret is cut by the border of two blocks."""

    def __init__(self, *secrets: str) -> None:
        self._secrets: list[bytes] = []
        self._pattern: re.Pattern[bytes] | None = None
        self._held = b""
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        if secret:
            # The longest first: one secret may begin with another.
            self._secrets = sorted({*self._secrets, secret.encode()}, key=len, reverse=True)
            self._pattern = re.compile(b"|".join(map(re.escape, self._secrets)))

    def feed(self, block: bytes, *, last: bool = False) -> bytes:
        """The block with what was held before it, less an end that may be the beginning of a secret."""
        if self._pattern is None:
            return block
        given = self._held + block
        done: list[bytes] = []
        at = 0
        for match in self._pattern.finditer(given):
            done += (given[at : match.start()], MASK.encode())
            at = match.end()
        rest = given[at:]
        held = 0 if last else self._held_at_the_end(rest)
        self._held = rest[len(rest) - held :]
        done.append(rest[: len(rest) - held])
        return b"".join(done)

    def text(self, text: str) -> str:
        """A whole text masked; what the stream holds stays as it is."""
        if self._pattern is None:
            return text
        return self._pattern.sub(MASK.encode(), text.encode(errors="replace")).decode(errors="replace")

    def _held_at_the_end(self, rest: bytes) -> int:
        longest = min(len(rest), len(self._secrets[0]) - 1)
        for length in range(longest, 0, -1):
            if any(secret.startswith(rest[-length:]) for secret in self._secrets):
                return length
        return 0


class Pieces:
    """Gathers a stream of bytes into texts of at most 64 KiB in UTF-8, whole lines where there are any."""

    def __init__(self, mask: Mask) -> None:
        self.tail = ""
        """The last of what was written, masked."""
        self._mask = mask
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text: list[str] = []
        self._bytes = 0

    def feed(self, block: bytes) -> list[str]:
        """The pieces that became full."""
        full: list[str] = []
        for start in range(0, len(block), BLOCK_BYTES):
            full += self._gather(self._decoder.decode(self._mask.feed(block[start : start + BLOCK_BYTES])))
        return full

    def take(self) -> str:
        """What was gathered up to now, up to its last line end where there is one."""
        text = "".join(self._text)
        end = text.rfind("\n") + 1 or len(text)
        self._text, self._bytes = [text[end:]], len(text[end:].encode())
        return text[:end]

    def close(self) -> list[str]:
        """The rest."""
        full = self._gather(self._decoder.decode(self._mask.feed(b"", last=True), final=True))
        rest = "".join(self._text)
        self._text, self._bytes = [], 0
        return [*full, rest] if rest else full

    def _gather(self, text: str) -> list[str]:
        if not text:
            return []
        self.tail = (self.tail + text)[-_TAIL_CHARACTERS:]
        size = len(text.encode())
        full: list[str] = []
        if self._bytes + size > LOG_OUTPUT_MAX:
            full.append("".join(self._text))
            self._text, self._bytes = [], 0
        self._text.append(text)
        self._bytes += size
        return full
