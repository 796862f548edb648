"""`make demo` as a stranger sees it, with a server that is killed in the middle."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 240


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The running demo; the port that it would like is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {
            **os.environ,
            "NODEYARD_HOME": str(tmp_path / "home"),
            "NODEYARD_PORT": str(taken.getsockname()[1]),
            "DATABASE_URL": "postgresql://nobody@nowhere.invalid/the-callers-own",
        }
        command = [sys.executable, "-u", "-m", "app", "demo"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            watchdog = threading.Timer(PATIENCE_S, process.kill)
            watchdog.start()
            yield process
            watchdog.cancel()
            process.kill()


def test_every_issue_comes_to_its_end_though_the_server_is_killed(demo, tmp_path):
    home = tmp_path / "home" / "demo"
    story = _read_until(demo, "processing")
    assert "Page      http://127.0.0.1:" in story
    [server] = _running(f"NODEYARD_HOME={home}", "app serve")
    os.kill(server, signal.SIGKILL)
    story += _read_until(demo, "Every sample issue has come to its end")
    assert "nodeyard serve was ended by SIGKILL: starting it again" in story
    for branch, test in (("1-a1", "Total"), ("2-a1", "Discount"), ("3-a2", "Slug")):
        assert re.search(rf"pending_merge +branch nodeyard/{branch}, test_shop\.{test} passes there", story)
    assert "attempt 1 failed (tool_failed), tries again" in story
    assert re.search(r"#4 .* cancelled", story)
    assert re.search(r"#5 .* failed +no_changes", story)
    assert re.search(r"#6 .* pending_merge", story)
    assert re.search(r"#7 .* completed", story)
    demo.send_signal(signal.SIGINT)
    assert "Everything is stopped." in demo.stdout.read()
    assert demo.wait() == 0
    assert not home.exists()
    assert _running(str(home)) == []


def test_a_demo_that_is_killed_leaves_nothing_running(demo, tmp_path):
    home = tmp_path / "home" / "demo"
    _read_until(demo, "waits in the queue")
    assert _running(str(home)) != []
    demo.kill()
    demo.wait()
    for pid in _running(str(home)):
        _wait_for_end(pid)
    assert _running(str(home)) == []


def _read_until(demo: subprocess.Popen[str], text: str) -> str:
    read = ""
    for line in demo.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"the demo ended before it said {text!r}:\n{read}")


def _running(*texts: str) -> list[int]:
    """The processes whose command line or environment holds each of the texts."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            about = ((folder / "cmdline").read_bytes() + b" " + (folder / "environ").read_bytes()).replace(b"\0", b" ")
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if state != b"Z" and int(folder.name) != os.getpid() and all(text.encode() in about for text in texts):
            found.append(int(folder.name))
    # A server's worker has its parent's command line; the one started first is the parent.
    return sorted(found)[:1] if len(texts) > 1 else found


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready, _, _ = select.select([descriptor], [], [], 30)
    os.close(descriptor)
    assert ready, f"process {pid} goes on"
