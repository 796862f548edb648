"""The demo's coding tool: it knows what to edit for each sample issue, really edits it, and really runs the tests.

Run in the working copy with the prompt on standard input, like any tool. An issue that it does not know is answered
with a note in NOTES.md, so that everybody may try an issue of their own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_TOTAL = ("sum(price for price, _quantity in items)", "sum(price * quantity for price, quantity in items)")
_DISCOUNT = ("return amount - percent\n", "return amount * (100 - percent) / 100\n")
_SLUG = 'return title.lower().replace(" ", "-")\n'
_SLUG_FIRST_IDEA = 'return re.sub(r"\\W", "-", title.lower())\n'
_SLUG_MENDED = 'return "-".join(re.findall(r"[a-z0-9]+", title.lower()))\n'


def main() -> int:
    prompt = sys.stdin.read()
    _say(f"Reading the issue: {prompt.partition(chr(10))[0]}")
    for sign, work in _KNOWN.items():
        if sign in prompt:
            return work()
    return _write("CHANGELOG.md" if "CHANGELOG" in prompt else "NOTES.md", prompt)


def _mend_slug() -> int:
    is_first = os.environ["NODEYARD_BRANCH"].endswith("-a1")
    return _mend(_SLUG, _SLUG_FIRST_IDEA if is_first else _SLUG_MENDED, tests="test_shop.Slug")


def _answer(text: str) -> int:
    _say(text)
    return 0


def _mend(old: str, new: str, *, tests: str) -> int:
    path = Path("shop.py")
    _say(f"Editing {path}")
    path.write_text(path.read_text().replace(old, new))
    _say(f"Running {tests}")
    return subprocess.run([sys.executable, "-B", "-m", "unittest", tests], check=False).returncode


def _write(name: str, prompt: str) -> int:
    _say(f"Writing {name}")
    with Path(name).open("a") as file:
        file.write(f"- {' '.join(prompt.split())}\n")
    return 0


def _work_all_night() -> int:
    for hour in range(1, 3600):
        _say(f"Rewriting, page {hour}")
        time.sleep(1)
    return 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    time.sleep(0.7)  # So that there is something to watch.


_KNOWN: dict[str, Callable[[], int]] = {
    "quantities": lambda: _mend(*_TOTAL, tests="test_shop.Total"),
    "discount": lambda: _mend(*_DISCOUNT, tests="test_shop.Discount"),
    "Slugs": _mend_slug,
    "another language": _work_all_night,
    "how to run the tests": lambda: _answer("README.md says it already. There is nothing to change."),
    "sell?": lambda: _answer("Tea and biscuits."),
}

if __name__ == "__main__":
    sys.exit(main())
