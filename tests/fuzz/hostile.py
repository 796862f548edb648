"""What nobody should send, and somebody will. Also what the libraries answer with 500 when they are left alone."""

import gzip
import json
import zlib
from uuid import UUID

BIG = 10**400
VALUES: list[object] = [
    None, True, False, 0, -1, 1, 2**31, 2**31 - 1, -(2**31), 2**53, 2**63, 2**64, -(2**63) - 1, 1e308, -0.0, 1.5,
    "", " ", "\0", "a\0b", "\u0000", "\x7f", "\r\n", "x\r\nSet-Cookie: a=b", "\u202e", "\ufeff", "\uffff", "é" * 300,
    "a" * 256, "a" * 65_537, "𝔘" * 255, "null", "true", "[]", "{}", "0", "-1", "NaN", "1e999",
    "00000000-0000-0000-0000-000000000000", "not-a-uuid", "{" * 50, "[" * 50, "%00", "%s%s%n", "' OR 1=1 --",
    '"; DROP TABLE issue; --', "../../etc/passwd", "..", "-rf", "--upload-pack=sh", "ext::sh -c id",
    "file:///etc/passwd",
    "fd::17", "https://user:secret@example.com/x.git", "https://", "git@host:-x", "refs/../x", "a..b", "x.lock", "@{",
    "a~b", "a b", "/x", "x/", "{{ 1/0 }}", "{% for x in range(10**9) %}{% endfor %}", "{{ ''.__class__ }}",
    "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-01-01",
    "2026-01-01T00:00:00", "infinity", "-infinity", [], {}, [None], [[]], {"": ""}, {"a": {"b": {"c": []}}},
    ["a"] * 1001, ["", "\0"], [{"x": 1}], "a@b", "A@EXAMPLE.COM", "admin@example.com", "@", "a@" + "b" * 300,
]  # fmt: skip

RAW_BODIES: list[bytes] = [
    b"", b" ", b"null", b"0", b'""', b"[]", b"{", b"}", b'{"a":}', b'{"a":1,}', b"nul", b"NaN", b"Infinity",
    b"\xff\xfe",    b"\xef\xbb\xbf{}", b'{"title": "\xff"}', b'{"title": "\xc3\x28"}', b'{"title": "\\ud800"}',
    b'{"name": "\\udc00\\ud800"}',
    b'{"title": "\\u0000"}', b'{"title": "a\x00b"}', b'{"title": "a\nb"}', b"[" * 100_000, b'{"a":' * 100_000,
    b"[" * 100_000 + b"]" * 100_000, b'{"title": ' + b"9" * 400 + b"}", b'{"priority": ' + b"9" * 400 + b"}",
    b'{"priority": -' + b"9" * 400 + b"}", b'{"priority": 1e400}', b'{"priority": 18446744073709551616}',
    b'{"first_seq": 99999999999999999999, "entries": []}', b'{"title": "a", "title": "b", "title": 3}',
    b"a=b&c=d", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--", b"<xml/>", b"\x80\x04K\x01.",
    json.dumps({"x": "a" * 1_200_000}).encode(), b'{"entries": [' + b"{}," * 5000 + b"{}]}", b'{"\\u0000": 1}',
]  # fmt: skip

GZIP_BODIES: list[bytes] = [
    b"", b"not gzip", gzip.compress(b""), gzip.compress(b"{}")[:-5], gzip.compress(bytes(50_000_000), 9),
    zlib.compress(b"{}"), gzip.compress(gzip.compress(b"{}")), gzip.compress(b'{"first_seq": 0, "entries": []}') * 2,
    gzip.compress(b"[" * 100_000), gzip.compress(b'{"first_seq": 0, "entries": [{"step_name": "\xff"}]}'),
]  # fmt: skip

CONTENT_TYPES = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "", "json",
    "application/json; charset=utf-16", "application/msgpack", "APPLICATION/JSON", "application/json;", "*/*",
]  # fmt: skip

QUERY_VALUES = [
    "", "-1", "0", "1", "201", "99999999999999999999999999", "1e3", "NaN", "nan", "inf", "-inf", "61", "%00", "\0",
    "a" * 3000,
    "null", "true", "[]", "é", "'", '"', "%", "_", "\\", "2026-13-45", "not-a-uuid",
    "00000000-0000-0000-0000-000000000000", "eyJhIjoxfQ==", "====", "AAAA", "created_at", "pending",
    "priority", "a,b", "..", "\r\n", "𝔘",
]  # fmt: skip

PATH_VALUES = [
    "0", "-1", "null", "..", "%00", "%2e%2e", "%ff", "a" * 500, "not-a-uuid", str(UUID(int=0)),
    str(UUID(int=2**128 - 1)),
    "{id}", "'", "%0d%0a", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "1e9",
]  # fmt: skip
