import base64
import json
import re
import time
from urllib.parse import quote

import pytest

from app.domain.credentials.redaction import MASK, Masker

SECRET = 'p@ss/w"örd\\+secret=value'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        re.sub("%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_every_form_of_a_secret_is_masked(form):
    masked = Masker([SECRET]).mask(f"before {form} after")
    assert form not in masked
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@pytest.mark.parametrize("user", ["", "x", "ab", "user", "token"])
def test_a_secret_within_larger_base64_does_not_decode(user):
    header = base64.b64encode(f"{user}:{SECRET}:tail".encode()).decode()
    masked = Masker([SECRET]).mask(f"Authorization: Basic {header}")
    assert MASK in masked
    for offset in range(3):
        inner = base64.b64encode(b"\0" * offset + SECRET.encode()).decode()[4:-4]
        assert inner not in masked


@pytest.mark.parametrize("at", range(1, len(SECRET)))
def test_a_secret_split_over_two_entries_is_masked_in_both(at):
    first, second = Masker([SECRET]).mask_stream(["say " + SECRET[:at], SECRET[at:] + " done"])
    assert first == f"say {MASK}"
    assert second == f"{MASK} done"


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2_" * 10,
        "sk-ant-api03-" + "aB3-" * 10,
        "nyn_" + "a" * 49,
        "AKIAIOSFODNN7EXAMPLE",
        "glpat-" + "x1" * 12,
        "key_" + "0f" * 16,
        "xoxb-" + "1a" * 6,
        "AIza" + "x" * 35,
        "npm_" + "x" * 36,
        "hf_" + "x" * 30,
        "pypi-" + "x" * 50,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123_-",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_well_known_tokens_are_masked_without_being_told(token):
    text = f"see {token} there"
    assert Masker([]).mask(text) == f"see {MASK} there"
    narrowed = Masker([]).within("nothing here", text)
    assert narrowed is not None
    assert narrowed.mask(text) == f"see {MASK} there"


def test_a_masker_is_narrowed_to_the_secrets_that_occur():
    masker = Masker([SECRET, "another-secret"])
    assert masker.within("ordinary", "lines of ai_coding: done") is None
    narrowed = masker.within("ordinary", f"say {SECRET}!")
    assert narrowed is not None
    assert narrowed.mask(f"say {SECRET}, not another-secret!") == f"say {MASK}, not another-secret!"


def test_a_password_in_a_url_is_masked():
    assert Masker([]).mask("git clone https://me:hunter2@host/x") == f"git clone https://{MASK}@host/x"


def test_ordinary_text_stays_as_it_is():
    text = "task-list sk- key_1 https://example.org/a:b Bearer of news\n" * 10
    assert Masker(["another secret"]).mask_stream([text, text]) == [text, text]


def test_masking_a_long_entry_costs_as_much_more_as_it_is_longer():
    masker = Masker(["another-secret-value"])
    line = "2026-11-22 12:00:00 step: some ordinary line of output :// key_ sk- eyJ\n"
    text = (line * 1000)[:65_536]

    def cost(part: str) -> float:
        """The least of ten, of the processor's time: what else the machine does is not the masker's doing."""
        costs: list[float] = []
        for _ in range(10):
            began = time.process_time()
            masker.mask(part)
            costs.append(time.process_time() - began)
        return min(costs)

    # Four times as long: four times the cost where it is linear, sixteen where it is quadratic.
    assert cost(text) < 8 * cost(text[:16_384])
