"""Real git against real bare repositories."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from app.agent import git
from app.agent.git import BadRepository, Git, GitFailed, Login, Mirror

ATTEMPT = "0197f0aa-0000-7000-8000-000000000001"


def sh(*words: str, cwd: Path) -> str:
    return subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def remote(tmp_path) -> Path:
    """A bare repository whose `main` has one commit."""
    seed = tmp_path / "seed"
    sh("git", "init", "-q", "-b", "main", str(seed), cwd=tmp_path)
    (seed / "code.txt").write_text("old\n")
    sh("git", "add", ".", cwd=seed)
    sh("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "first", cwd=seed)
    sh("git", "clone", "-q", "--bare", str(seed), str(tmp_path / "remote.git"), cwd=tmp_path)
    return tmp_path / "remote.git"


@pytest.fixture
def run(tmp_path) -> Git:
    (tmp_path / "state").mkdir()
    return Git(tmp_path / "state", ATTEMPT)


@pytest.fixture
def mirror(tmp_path, remote) -> Mirror:
    return Mirror(tmp_path / "workspace", str(remote), {})


async def test_a_branch_with_the_tools_files_reaches_the_remote(tmp_path, remote, run, mirror):
    tree = tmp_path / "tree"
    await mirror.fetch(run)
    assert await mirror.default_branch(run) == "main"
    base = await mirror.add_worktree(run, tree, "main", "nodeyard/1-a1")
    assert sh("git", "branch", "--show-current", cwd=tree) == "nodeyard/1-a1"
    (tree / "code.txt").write_text("new\n")
    (tree / "-rf").write_text("a name that looks like an option")
    (tmp_path / "message").write_text("Mend it\n\nIssue #1\n")
    run.environment |= await git.identity(run, tree)
    head = await git.commit_all(run, tree, tmp_path / "message")
    await git.push(run, tree, mirror.url, "nodeyard/1-a1")
    assert sh("git", "rev-parse", "nodeyard/1-a1", cwd=remote) == head != base
    assert sh("git", "show", "nodeyard/1-a1:code.txt", cwd=remote) == "new"
    assert sh("git", "log", "-1", "--format=%B", head, cwd=remote) == "Mend it\n\nIssue #1"


async def test_nothing_changed_leaves_head_where_it_was(tmp_path, run, mirror):
    await mirror.fetch(run)
    base = await mirror.add_worktree(run, tmp_path / "tree", "main", "b")
    (tmp_path / "message").write_text("x")
    assert await git.commit_all(run, tmp_path / "tree", tmp_path / "message") == base


async def test_a_lock_that_a_killed_tool_left_does_not_stop_the_commit(tmp_path, run, mirror):
    tree = tmp_path / "tree"
    await mirror.fetch(run)
    base = await mirror.add_worktree(run, tree, "main", "b")
    (tree / "code.txt").write_text("new\n")
    (tmp_path / "message").write_text("x")
    Path(sh("git", "rev-parse", "--absolute-git-dir", cwd=tree), "index.lock").touch()
    run.environment |= await git.identity(run, tree)
    assert await git.commit_all(run, tree, tmp_path / "message") != base


async def test_the_mirror_follows_the_remote(tmp_path, remote, run, mirror):
    await mirror.fetch(run)
    first = await mirror.add_worktree(run, tmp_path / "one", "main", "b1")
    sh("git", "branch", "other", "main", cwd=remote)
    new = sh("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit-tree", "-p", "main", "-m", "2",
             "main^{tree}", cwd=remote)  # fmt: skip
    sh("git", "update-ref", "refs/heads/main", new, cwd=remote)
    await mirror.fetch(run)
    assert await mirror.add_worktree(run, tmp_path / "two", "main", "b2") == new != first
    assert await mirror.add_worktree(run, tmp_path / "three", "other", "b3") == first


async def test_attempts_share_a_mirror_at_the_same_time(tmp_path, run, mirror):
    async def work(number: int) -> None:
        await mirror.fetch(run)
        await mirror.add_worktree(run, tmp_path / f"tree{number}", "main", f"b{number}")

    await asyncio.gather(*(work(number) for number in range(8)))
    assert len(list(tmp_path.glob("tree*/code.txt"))) == 8


async def test_a_branch_name_in_use_on_this_node_does_not_stop_another_attempt(tmp_path, remote, run, mirror):
    await mirror.fetch(run)
    await mirror.add_worktree(run, tmp_path / "one", "main", "nodeyard/5-a1")
    await mirror.add_worktree(run, tmp_path / "two", "main", "nodeyard/5-a1")
    await git.push(run, tmp_path / "two", mirror.url, "nodeyard/5-a1")
    assert sh("git", "rev-parse", "nodeyard/5-a1", cwd=remote) == sh("git", "rev-parse", "main", cwd=remote)


async def test_a_branch_of_somebody_else_is_never_overwritten(tmp_path, remote, run, mirror):
    await mirror.fetch(run)
    await mirror.add_worktree(run, tmp_path / "tree", "main", "b")
    theirs = sh("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit-tree", "-m", "theirs",
                "main^{tree}", cwd=remote)  # fmt: skip
    sh("git", "update-ref", "refs/heads/b", theirs, cwd=remote)
    with pytest.raises(GitFailed, match="rejected"):
        await git.push(run, tmp_path / "tree", mirror.url, "b")
    assert sh("git", "rev-parse", "b", cwd=remote) == theirs


async def test_a_branch_that_is_not_there_is_named(tmp_path, run, mirror):
    await mirror.fetch(run)
    with pytest.raises(BadRepository, match="no branch 'release'"):
        await mirror.add_worktree(run, tmp_path / "tree", "release", "b")


@pytest.mark.parametrize(
    "url",
    ["ext::sh -c 'touch /tmp/x'", "--upload-pack=x", "-u", "http://example.com/x", "git@host:-x", "fd::7", "rel/x"],
)
def test_an_address_that_git_could_read_otherwise_is_refused(tmp_path, url):
    with pytest.raises(BadRepository):
        Mirror(tmp_path, url, {})


async def test_git_itself_refuses_other_protocols(run):
    with pytest.raises(GitFailed, match="not allowed"):
        await run("ls-remote", "ext::sh -c echo")


async def test_a_mirror_that_a_crash_broke_is_made_anew(tmp_path, run, mirror):
    await mirror.fetch(run)
    for found in (mirror.folder / "objects").rglob("*"):
        if found.is_file():
            found.chmod(0o600)
            found.write_bytes(b"")
    await mirror.fetch(run)
    await mirror.add_worktree(run, tmp_path / "tree", "main", "b")
    assert (tmp_path / "tree" / "code.txt").read_text() == "old\n"


async def test_a_missing_remote_does_not_cost_the_mirror(tmp_path, remote, run, mirror):
    await mirror.fetch(run)
    remote.rename(tmp_path / "away")
    with pytest.raises(GitFailed):
        await mirror.fetch(run)
    assert (mirror.folder / "HEAD").exists()


async def test_locks_of_a_crash_are_swept(tmp_path, run, mirror):
    await mirror.fetch(run)
    (mirror.folder / "config.lock").touch()
    (mirror.folder / "packed-refs.lock").touch()
    git.sweep_locks(tmp_path / "workspace")
    assert not list(mirror.folder.rglob("*.lock"))


async def test_the_login_reaches_git_through_askpass_alone(tmp_path):
    """A git server that wants a password gets it, and neither arguments nor addresses hold it."""
    (tmp_path / "state").mkdir()
    asked = asyncio.get_running_loop().create_future()
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await reader.readuntil(b"\r\n\r\n")) and b"authorization:" not in request.lower():
            writer.write(b'HTTP/1.1 401 no\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
        if not asked.done():
            asked.set_result(request)
            seen.extend(_command_lines())
        writer.write(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    run = Git(tmp_path / "state", ATTEMPT, login=Login("x-access-token", "tok-123"))
    run.environment["GIT_ALLOW_PROTOCOL"] = "http"  # A certificate would only be in the way here.
    with pytest.raises(GitFailed):
        await run("ls-remote", "--", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")
    server.close()
    assert b"eC1hY2Nlc3MtdG9rZW46dG9rLTEyMw==" in await asked  # x-access-token:tok-123
    assert any(b"ls-remote" in line for line in seen)
    assert not any(b"tok-123" in line for line in seen)
    assert "tok-123" not in (tmp_path / "state" / "askpass").read_text()


def _command_lines() -> list[bytes]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(line.read_bytes())
        except OSError:
            continue
    return found


def test_only_githubs_repositories_see_a_github_token():
    assert git.login_for("https://github.com/a/b.git", "github-copilot", "t") == Login("x-access-token", "t")
    assert git.login_for("https://github.com.evil.example/a", "github-copilot", "t") is None
    assert git.login_for("https://github.com/a/b.git", "cursor", "t") is None
    assert git.login_for("git@github.com:a/b.git", "github-copilot", "t") is None


def test_gits_environment_holds_nothing_of_ours():
    given = {"PATH": "/bin", "NODEYARD_REGISTRATION_KEY": "nyr_x", "GIT_DIR": "/elsewhere", "GIT_SSL_CAINFO": "/ca"}
    made = git.environment(given, ATTEMPT)
    assert made["PATH"] == "/bin"
    assert made["GIT_SSL_CAINFO"] == "/ca"
    assert "NODEYARD_REGISTRATION_KEY" not in made
    assert "GIT_DIR" not in made
    assert made["GIT_TERMINAL_PROMPT"] == "0"
