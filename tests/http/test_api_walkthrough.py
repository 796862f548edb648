"""The commands of docs/api.md run as they stand, against a real server."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.dashboard.conftest import server  # noqa: F401 - Served to the test here too.
from tests.speaking import ADMIN

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.mark.skipif(shutil.which("jq") is None, reason="the walk-through is written with jq")
async def test_the_walk_through_runs_as_it_stands(server, tmp_path):  # noqa: F811
    commands = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    script = tmp_path / "day.sh"
    script.write_text("set -euo pipefail\n" + "".join(commands))
    process = await asyncio.create_subprocess_exec(
        "bash",
        str(script),
        env={**os.environ, "SERVER": server.base, "EMAIL": ADMIN[0], "PASSWORD": ADMIN[1]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    for expected in (ADMIN[0], "Sums are off by one", "cancelled", "pending", "event: hello", "invalid_input", "titel"):
        assert expected in text, text
