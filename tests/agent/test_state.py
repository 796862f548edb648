"""What an agent remembers."""

import subprocess
import sys

import pytest

from app.agent.state import FolderInUse, State, write_durably


def test_the_machine_stays_the_same_and_each_start_is_new(tmp_path):
    first = State(tmp_path / "state")
    first.keep_token("nyn_token")
    first.close()
    second = State(tmp_path / "state")
    assert second.machine_id == first.machine_id
    assert second.boot_id != first.boot_id
    assert second.token == "nyn_token"


def test_only_the_owner_can_read_it(tmp_path):
    state = State(tmp_path / "state")
    state.keep_token("nyn_token")
    assert state.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.folder.iterdir()} == {0o600}


def test_a_second_agent_is_refused_while_the_first_lives(tmp_path):
    first = State(tmp_path / "state")
    with pytest.raises(FolderInUse, match="--state-dir"):
        State(tmp_path / "state")
    first.close()
    State(tmp_path / "state").close()


def test_a_killed_agent_holds_nothing(tmp_path):
    script = (
        "import pathlib, sys, time; from app.agent.state import State;"
        "s = State(pathlib.Path(sys.argv[1])); print(1, flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "s"], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(FolderInUse):
            State(tmp_path / "s")
        other.kill()
    State(tmp_path / "s").close()


def test_a_write_that_fails_keeps_what_was_there(tmp_path):
    write_durably(tmp_path / "file", b"old")
    (tmp_path / "file.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
