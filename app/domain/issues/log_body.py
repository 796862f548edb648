"""Reading the body of a log append: whatever text a tool may have put out is taken, since a node would resend it."""

import json
import zlib

import msgspec

from app.errors import InvalidInput, TooLarge
from app.protocol import LOG_BODY_MAX_BYTES, LogBatch

_decode_batch = msgspec.json.Decoder(LogBatch).decode


def read(body: bytes, encoding: str = "") -> LogBatch:
    """The batch, with broken characters replaced. Raises `InvalidInput`, `TooLarge`."""
    plain = _unpacked(body) if encoding.lower() == "gzip" else body
    try:
        return _decode_batch(plain)
    except UnicodeDecodeError:
        return _decode(plain.decode("utf-8", "replace"))
    except msgspec.ValidationError as problem:
        raise InvalidInput(str(problem)) from problem
    except msgspec.DecodeError:
        return _decode(_without_lone_surrogates(plain.decode("utf-8", "replace")))


def _unpacked(body: bytes) -> bytes:
    # Never more than the limit is unpacked, however much is packed.
    unpack = zlib.decompressobj(wbits=31)
    try:
        plain = unpack.decompress(body, LOG_BODY_MAX_BYTES + 1)
    except zlib.error as problem:
        raise InvalidInput("The body is not valid gzip.") from problem
    if len(plain) > LOG_BODY_MAX_BYTES:
        raise TooLarge(f"A log batch has at most {LOG_BODY_MAX_BYTES} bytes.")
    if not unpack.eof:
        raise InvalidInput("The gzip body is cut off.")
    return plain


def _decode(text: str) -> LogBatch:
    try:
        return _decode_batch(text)
    except msgspec.DecodeError as problem:
        raise InvalidInput(str(problem)) from problem


def _without_lone_surrogates(text: str) -> str:
    """Half a pair, as left by a tool that cuts its output, is legal in an escape but in no encoding."""
    try:
        whole = json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError as problem:
        raise InvalidInput(f"The body is not valid JSON: {problem}") from problem
    return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
