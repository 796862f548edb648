"""What the demo works on: a small shop with failing tests, and the issues that somebody wrote about it."""

import os
import subprocess
from pathlib import Path
from typing import Any

from msgspec import Struct

FILES = {
    "README.md": "# Shop\n\nRun the tests with `python -m unittest`.\n",
    "shop.py": '''\
"""Prices and addresses of a small shop."""

import re


def total(items):
    return sum(price for price, _quantity in items)


def discounted(amount, percent):
    return amount - percent


def slug(title):
    return title.lower().replace(" ", "-")
''',
    "test_shop.py": """\
import unittest

import shop


class Total(unittest.TestCase):
    def test_quantity_counts(self):
        self.assertEqual(shop.total([(5, 2), (1, 3)]), 13)


class Discount(unittest.TestCase):
    def test_discount_is_a_share(self):
        self.assertEqual(shop.discounted(200, 10), 180)


class Slug(unittest.TestCase):
    def test_only_letters_and_digits_stay(self):
        self.assertEqual(shop.slug("  Tea & Biscuits! "), "tea-biscuits")
""",
}


class Sample(Struct, frozen=True):
    """An issue, and the tests that its branch must pass."""

    title: str
    description: str
    tests: tuple[str, ...] = ()
    has_repository: bool = True
    cancel_after_s: float | None = None
    priority: int = 0

    def body(self, repository: str, number: int) -> dict[str, Any]:
        """What `POST /issues` takes."""
        return {
            "title": self.title,
            "description": self.description,
            "issue_number": number,
            "priority": self.priority,
            **({"repository_url": repository} if self.has_repository else {}),
        }


ISSUES = (
    Sample(
        "The total ignores quantities",
        "Two teas at 5 and three biscuits at 1 make 13, the shop says 6. `Total` in test_shop.py fails.",
        tests=("test_shop.Total",),
        priority=3,
    ),
    Sample(
        "A discount takes coins instead of a share",
        "10 % off 200 is 180, the shop says 190. `Discount` in test_shop.py fails.",
        tests=("test_shop.Discount",),
        priority=2,
    ),
    Sample(
        "Slugs keep punctuation",
        "`Slug` in test_shop.py fails. The first idea will not be good enough: the second attempt gets there.",
        tests=("test_shop.Slug",),
        priority=2,
    ),
    Sample(
        "Rewrite the shop in another language",
        "This takes all night; somebody will think better of it and cancel.",
        cancel_after_s=6,
        priority=1,
    ),
    Sample("Tell customers how to run the tests", "README.md says so already: there is nothing to change.", priority=1),
    Sample("Write down what changed", "Start a CHANGELOG.md."),
    Sample("What does the shop sell?", "A question, without a repository: an answer, and nothing to merge.",
           has_repository=False),
)  # fmt: skip


def make_repository(folder: Path) -> Path:
    """A bare repository that a node may clone from and push to."""
    seed = folder / "seed"
    seed.mkdir(parents=True)
    for name, content in FILES.items():
        (seed / name).write_text(content)
    _git("init", "--quiet", "--initial-branch=main", cwd=seed)
    _git("add", "--all", cwd=seed)
    _git("commit", "--quiet", "--message=Open the shop", cwd=seed)
    remote = folder / "shop.git"
    _git("clone", "--quiet", "--bare", "--", str(seed), str(remote), cwd=folder)
    return remote


def checkout(remote: Path, branch: str, folder: Path) -> None:
    _git("clone", "--quiet", "--depth=1", f"--branch={branch}", "--", remote.as_uri(), str(folder), cwd=remote)


def _git(*words: str, cwd: Path) -> None:
    identity = {
        "GIT_AUTHOR_NAME": "The shop",
        "GIT_AUTHOR_EMAIL": "shop@example.com",
        "GIT_COMMITTER_NAME": "The shop",
        "GIT_COMMITTER_EMAIL": "shop@example.com",
    }
    subprocess.run(["git", *words], cwd=cwd, check=True, env={**os.environ, **identity}, stdout=subprocess.DEVNULL)
