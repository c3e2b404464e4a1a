"""Telling the faults of data from outages, and waiting through the latter."""

import neo4j.exceptions
import pytest

from workers.ingest.faults import DataFault, NodesChanged, Stopped, fault_of, keep_trying


def error_of(code: str) -> neo4j.exceptions.Neo4jError:
    return neo4j.exceptions.Neo4jError._hydrate_neo4j(code=code, message="m")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Neo.ClientError.Statement.ArithmeticError", DataFault),
        ("Neo.ClientError.Statement.ArgumentError", DataFault),
        ("Neo.ClientError.Statement.TypeError", DataFault),
        ("Neo.ClientError.Statement.AccessMode", type(None)),
        ("Neo.ClientError.Statement.ExternalResourceFailed", type(None)),
        ("Neo.ClientError.Statement.ParameterMissing", type(None)),
        ("Neo.ClientError.Statement.SemanticError", type(None)),
        ("Neo.ClientError.Statement.SyntaxError", type(None)),
        ("Neo.ClientError.Procedure.ProcedureNotFound", type(None)),
        ("Neo.ClientError.Schema.IndexNotFound", type(None)),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", NodesChanged),
        ("Neo.ClientError.Statement.EntityNotFound", NodesChanged),
        ("Neo.ClientError.Security.Unauthorized", type(None)),
        ("Neo.ClientError.Cluster.NotALeader", type(None)),
        ("Neo.ClientError.Database.DatabaseNotFound", type(None)),
        ("Neo.ClientError.Transaction.TransactionTimedOut", type(None)),
        ("Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration", type(None)),
        ("Neo.TransientError.Transaction.DeadlockDetected", type(None)),
        ("Neo.DatabaseError.General.UnknownError", type(None)),
    ],
)
def test_only_values_and_constraints_tell_of_data(code: str, kind: type) -> None:
    assert type(fault_of(error_of(code))) is kind


def test_an_outage_is_waited_through_with_growing_pauses() -> None:
    pauses: list[float] = []
    errors = [neo4j.exceptions.ServiceUnavailable("away")] * 8

    def action() -> str:
        if errors:
            raise errors.pop()
        return "done"

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    assert keep_trying(action, pause=pause) == "done"
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (neo4j.exceptions.ServiceUnavailable("away"), "WARNING"),
        (error_of("Neo.TransientError.Transaction.DeadlockDetected"), "WARNING"),
        (error_of("Neo.ClientError.Statement.SyntaxError"), "ERROR"),
    ],
)
def test_what_does_not_pass_by_itself_is_logged_as_an_error(
    error: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    def action() -> None:
        raise error

    with pytest.raises(Stopped):
        keep_trying(action, pause=lambda _: True)
    assert [record.levelname for record in caplog.records] == [level]


def test_waiting_ends_when_told_to_stop() -> None:
    def action() -> None:
        raise neo4j.exceptions.ServiceUnavailable("away")

    with pytest.raises(Stopped):
        keep_trying(action, pause=lambda _: True)


def test_a_fault_of_data_is_not_tried_again() -> None:
    def action() -> None:
        raise DataFault("bad")

    with pytest.raises(DataFault):
        keep_trying(action, pause=lambda _: False)
