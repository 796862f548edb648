"""How the server's parent process ends its workers."""

import threading
import time
from collections.abc import Iterator

import pytest
from granian.constants import Interfaces
from granian.log import logger
from granian.server.mp import WorkerProcess

from app.serving import PatientServer


@pytest.fixture
def busy_process() -> Iterator[None]:
    """Threads that take turns at the interpreter, as on a machine that has too much to do."""
    done = threading.Event()

    def toil() -> None:
        while not done.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=toil) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("busy_process")
def test_a_worker_that_ended_is_not_taken_for_one_that_refuses_to(caplog: pytest.LogCaptureFixture):
    server = PatientServer("", interface=Interfaces.ASGI, workers_kill_timeout=1)
    logger.addHandler(caplog.handler)
    for _ in range(30):
        worker = WorkerProcess(server, 0, time.sleep, (60,))
        worker.start()
        server.wrks.append(worker)
        server._stop_workers()
    logger.removeHandler(caplog.handler)
    assert "refused to gracefully stop" not in caplog.text
