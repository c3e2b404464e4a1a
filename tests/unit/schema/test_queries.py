"""Query files: every header says what its text does."""

import re

import pytest

from graph_schema.queries import QueryHeaderError, load_query, parse_query, query_names

GOOD = """// Find a user.
// mode: read
// params: user_id
// columns: id, name
MATCH (u:User {id: $user_id}) RETURN u.id AS id, coalesce(u.name, 'a, $b') AS name ORDER BY id LIMIT 1
"""


@pytest.mark.parametrize("name", query_names())
def test_every_query_file_has_a_true_header(name: str) -> None:
    assert load_query(name).doc


def test_a_good_header_is_read() -> None:
    query = parse_query("users/one", GOOD)
    assert query.parameters == ("user_id",)
    assert query.columns == ("id", "name")
    assert query.mode == "read"
    assert query.doc == "Find a user."


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("// params: user_id", "// params: user_id, k"), "declares parameters"),
        (("// params: user_id", "// params: -"), "declares parameters"),
        (("// columns: id, name", "// columns: name, id"), "declares columns"),
        (("// mode: read", "// mode: write"), "declared mode write"),
        (("RETURN u.id", "SET u.seen = true RETURN u.id"), "but the text writes"),
        (("// mode: read", "// mode: both"), "not read or write"),
        (("// mode: read\n", ""), "lacks mode"),
        (("// Find a user.\n", ""), "does not say what"),
    ],
)
def test_a_header_that_lies_is_refused(change: tuple[str, str], complaint: str) -> None:
    with pytest.raises(QueryHeaderError, match=complaint):
        parse_query("users/one", GOOD.replace(*change))


def test_an_unknown_query_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="no query 'nothing/here'"):
        load_query("nothing/here")


def test_a_return_inside_a_subquery_is_no_column() -> None:
    query = parse_query(
        "a/b",
        "// Touch.\n// mode: write\n// params: -\n// columns: -\n"
        "MATCH (u:User) CALL (u) { MATCH (u)-->(x) RETURN x } SET u.seen = true",
    )
    assert query.columns == ()


# Their lists are of different rows.
INDEPENDENT = {"serving/settled_users"}
COLLECTED = re.compile(r"\bcollect\((?:DISTINCT )?(.*?)\) AS")
NEVER_NULL = (
    r"(?:\b(?:count|sum|coalesce)\(|\)\[\.\.|(?:COUNT|COLLECT) \{|\bCASE\b.*\bELSE\b|NOT NULL|SCORE)"
    r"(?:(?! AS ).)* AS %s\b"
)


def lists_side_by_side(text: str) -> list[str]:
    """What a query collects in a clause beside something else."""
    clauses = (COLLECTED.findall(clause) for clause in re.split(r"\b(?:WITH|RETURN)\b", text))
    return [found for collected in clauses if len(collected) > 1 for found in collected]


def is_whole(collected: str, text: str) -> bool:
    """Whether a value is a constant, a name that is never null, or one whose rows are filtered by it."""
    if not re.fullmatch(r"[a-z]\w*", collected):
        return re.fullmatch(r"-?\d+|''|coalesce\(\w+, -1\)|toFloat\(\w+\)", collected) is not None
    is_node = re.search(rf"[->]\({collected}[:)]|(?:MATCH|CREATE|MERGE) \({collected}:", text) is not None
    return (
        is_node or f"{collected} IS NOT NULL" in text or re.search(NEVER_NULL % collected, text) is not None
    )


@pytest.mark.parametrize("name", sorted(set(query_names()) - INDEPENDENT))
def test_lists_side_by_side_are_of_whole_rows(name: str) -> None:
    """A node that is deleted meanwhile has no properties, and `collect` leaves out what is null.

    So what lies in one row is named first, and rows that lack a part are left out.
    """
    text = load_query(name).text
    for collected in lists_side_by_side(text):
        assert is_whole(collected, text), f"{name} collects {collected}: name it, and filter by IS NOT NULL"
