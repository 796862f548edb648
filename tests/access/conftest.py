from tests.dashboard.conftest import server  # noqa: F401 - Served to the tests here too.
