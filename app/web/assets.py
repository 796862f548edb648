"""The page's files, read once, with the version that their addresses carry."""

import gzip
import mimetypes
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent / "static"
ENTRY = "main.js"
STYLES = (
    "vendor/uplot.css",
    *(f"css/{name}.css" for name in ("tokens", "base", "controls", "parts", "layers")),
    *(f"css/{name}.css" for name in ("overview", "issues", "things", "issue", "log")),
)
"""What `page.css` is made of: one request, and the order decides which rule wins."""
_SERVED = {".js", ".css", ".svg", ".png", ".json"}
_IMPORT = re.compile(
    r"""^(?:import|export)\b[^;"']*?from\s*["'](\.[^"']+)["']|^import\s*["'](\.[^"']+)["']""", re.MULTILINE
)


@dataclass(frozen=True)
class Asset:
    content: bytes
    gzipped: bytes
    media_type: str


@dataclass(frozen=True)
class Assets:
    """`version` changes with any byte of any file, so everything under it may be cached for ever."""

    version: str
    files: dict[str, Asset]
    index: bytes


@cache
def load() -> Assets:
    contents = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and path.suffix in _SERVED
    }
    contents["page.css"] = b"\n".join(contents[name] for name in STYLES)
    digest = sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    version = digest.hexdigest()[:16]
    return Assets(
        version=version,
        files={name: _asset(name, content) for name, content in contents.items()},
        index=_index(version, contents),
    )


def _asset(name: str, content: bytes) -> Asset:
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(content, gzip.compress(content, mtime=0), kind)


def _index(version: str, contents: dict[str, bytes]) -> bytes:
    """Preload what the entry imports, at any depth: without it a browser learns of each file from the one before."""
    base = f"/static/{version}"
    preloads = "\n".join(f'    <link rel="modulepreload" href="{base}/{name}">' for name in _imported(contents, ENTRY))
    template = (ROOT / "index.html").read_text()
    return template.replace("{{base}}", base).replace("    {{preloads}}", preloads).encode()


def _imported(contents: dict[str, bytes], entry: str) -> list[str]:
    found: list[str] = []
    waiting = [entry]
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        found.append(name)
        waiting.extend(_join(name, match[1] or match[2]) for match in _IMPORT.finditer(contents[name].decode()))
    return found


def _join(name: str, relative: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(name).parent / relative).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
