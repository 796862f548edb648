from app.db.outage import is_database_away


def test_a_handler_and_its_clean_up_that_lose_the_same_connection_are_an_outage_and_no_bug():
    lost = ConnectionResetError("reset by peer")
    assert is_database_away(ExceptionGroup("both", [lost, TimeoutError()]))
    assert not is_database_away(ExceptionGroup("one is a bug", [lost, KeyError()]))
