"""What a tool writes, on its way to the log."""

import os

import pytest

from app.agent.output import Mask, Pieces
from app.protocol import LOG_OUTPUT_MAX

SECRET = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 39, 40, 41, 1000])
def test_secret_is_masked_wherever_the_blocks_are_cut(size):
    text = f"a{SECRET}b {SECRET}{SECRET} ghp_0123 {SECRET[:-1]}!\n".encode()
    mask = Mask(SECRET)
    written = b"".join(mask.feed(text[at : at + size]) for at in range(0, len(text), size)) + mask.feed(b"", last=True)
    assert written.decode() == f"a***b ****** ghp_0123 {SECRET[:-1]}!\n"


def test_of_two_secrets_the_longer_is_masked_whole():
    assert Mask("abc", "abcdef").text("abcdef abc") == "*** ***"


def test_a_text_without_secrets_is_not_held_back():
    mask = Mask(SECRET)
    assert mask.feed(b"working...") == b"working..."
    assert mask.feed(b"token g") == b"token "
    assert mask.feed(b"o") == b"go"


def test_binary_output_becomes_bounded_text_and_loses_no_readable_part():
    pieces = Pieces(Mask())
    noise = b"".join(os.urandom(50_000) + b"<mark>" for _ in range(20))
    texts = [text for at in range(0, len(noise), 65_536) for text in pieces.feed(noise[at : at + 65_536])]
    texts += pieces.close()
    assert all(len(text.encode()) <= LOG_OUTPUT_MAX for text in texts)
    assert "".join(texts).count("<mark>") == 20


def test_a_character_cut_by_two_blocks_stays_whole():
    pieces = Pieces(Mask())
    text = "é漢字🙂" * 10_000
    content = text.encode()
    texts = [piece for at in range(0, len(content), 1001) for piece in pieces.feed(content[at : at + 1001])]
    assert "".join([*texts, *pieces.close()]) == text


def test_a_piece_ends_with_a_line_where_it_can():
    pieces = Pieces(Mask())
    pieces.feed(b"one\ntwo\nthr")
    assert pieces.take() == "one\ntwo\n"
    assert pieces.take() == "thr"
    assert pieces.take() == ""


def test_the_tail_is_masked():
    pieces = Pieces(Mask(SECRET))
    pieces.feed(b"x" * 10_000 + SECRET.encode())
    assert pieces.tail.endswith("xxx***")
    assert len(pieces.tail) <= 4096
