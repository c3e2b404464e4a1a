"""The charts are well-formed SVG, say what they show, and keep to their frame."""

from typing import Any
from xml.etree import ElementTree

import pytest

from lsec.cli.influence_plots import plot
from lsec.cli.svg import WIDTH, bar_chart, interval_chart, line_chart
from lsec.client.answers import Table

SVG = "{http://www.w3.org/2000/svg}"


def parsed(chart: str) -> ElementTree.Element:
    root = ElementTree.fromstring(chart)
    assert root.tag == f"{SVG}svg"
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def bars(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]


def test_bars_are_as_long_as_their_values() -> None:
    root = parsed(bar_chart("Title", ["a", "b"], {"x": [1, 2], "y": [0, 4]}, unit="things"))
    widths = [float(rect.attrib["width"]) for rect in bars(root)]
    assert widths[2] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[3] == pytest.approx(4 * widths[0], abs=0.3)
    assert widths[1] == 0
    assert {"Title", "a", "b", "x", "y", "things"} <= set(texts(root))


def test_negative_bars_end_where_positive_ones_begin() -> None:
    root = parsed(bar_chart("T", ["a", "b"], {"x": [-3, 5]}, unit=""))
    left, right = bars(root)
    end = float(left.attrib["x"]) + float(left.attrib["width"])
    assert end == pytest.approx(float(right.attrib["x"]), abs=0.2)


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-9, 3e-9], [5e12, 1.0], [-2.0, -1.0]])
def test_everything_is_inside_the_frame_whatever_the_values(values: list[float]) -> None:
    charts = [
        bar_chart("T", ["a", "b"], {"x": values}, unit="u"),
        line_chart("T", ["a", "b"], {"x": values}, unit="u", axis="x"),
        interval_chart("T", [("a", values[0], min(values), max(values))], unit="u"),
    ]
    for chart in charts:
        root = parsed(chart)
        places = [
            float(each.attrib[name])
            for each in root.iter()
            for name in ("x", "x1", "cx")
            if name in each.attrib
        ]
        assert all(0 <= place <= WIDTH for place in places)


def test_names_are_text_and_never_markup() -> None:
    name = '<script>alert("1")</script> & more'
    root = parsed(bar_chart(name, [name], {name: [1]}, unit=name))
    assert not list(root.iter(f"{SVG}script"))
    assert texts(root).count(name) >= 2


def test_empty_answers_are_drawn_too() -> None:
    parsed(bar_chart("T", [], {"x": []}, unit="u"))
    parsed(line_chart("T", [], {}, unit="u", axis="x"))
    parsed(interval_chart("T", [], unit="u"))


STREAMER = {"streamer_id": "s1", "name": "Ann"}
NOBODY: dict[str, Any] = {"streamer_id": None, "name": "nobody"}
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "leaderboard": [STREAMER | {"buyers": 3, "purchases": 4, "new_followers": 1}],
    "product-streamers": [STREAMER | {"buyers": 3, "purchases": 4, "showcases": 1}],
    "influencers": [STREAMER | {"purchases": 4, "views": 1}],
    "attribution": [
        who | {"model": model, "purchases": 0.5}
        for who in (NOBODY, STREAMER)
        for model in ("linear", "markov")
    ],
    "lift": [
        {"period": "exposure", "measure": "Ann", "exposed": 0.2, "effect": 0.1, "low": -0.1, "high": 0.3},
        {"period": "exposure", "measure": "Ann", "exposed": 0.2, "effect": 0.1, "low": None, "high": None},
        {"period": "exposure", "measure": "sum", "exposed": None, "effect": 9.0, "low": 1.0, "high": 17.0},
    ],
    "seeds": [STREAMER | {"total_reach": 3.5, "marginal_reach": 1.5, "reach_alone": 2.0}],
    "spread": [STREAMER | {"day": "2026-01-05", "purchases": 0, "views": 2}],
    "funnel": [
        {"at": "2026-01-05T10:00:00Z", "joined": 1, "views": 2, "carts": 1, "purchases": 0, "name": "Ann"}
    ],
    "paths": [{"path": "bought", "nodes": ["u", "Ann", "p"], "strength": 2}],
}
PARAMETERS = {"product_id": "p", "user_id": "u", "stream_id": "t", "streamer_id": "s1", "window": "7d"}
AUDIENCES: dict[str, list[dict[str, Any]]] = {
    "nearest": [STREAMER | {"similarity": 0.25, "shared_users": 1, "users": 4}],
    "overlap": [{"audience": "Ann's", "users": 4, "other_users": 3, "shared_users": 2}],
    "buyers": [
        {"group": group, "buyers": 2, "purchases": 3}
        for group in ("only_first", "only_second", "shared", "loyal_to_first", "loyal_to_second")
    ],
    "at_risk": [{"user_id": "u7", "seconds_expected": 3600.0, "seconds_recent": 600}],
}
PAPER = [
    {"measure": measure, "of": of, "value": value, "low": low, "high": 2.0}
    for measure, of, value, low in (
        ("share", "purchases", 0.25, 0.2),
        ("ratio", "sold by 1 followed", 1.5, 1.0),
        ("ratio", "sold by 2 followed", 1.5, None),
        ("ratio", "sold by 3 followed", None, None),
    )
]


@pytest.mark.parametrize("query", ANSWERS)
def test_every_query_has_its_chart(query: str) -> None:
    rows = ANSWERS[query]
    root = parsed(plot(Table(query=query, columns=list(rows[0]), rows=rows, parameters=PARAMETERS)))
    shown = " ".join(texts(root))
    assert ("joined" if query == "funnel" else "Ann") in shown
    parsed(plot(Table(query=query, columns=[], rows=[], parameters=PARAMETERS)))


@pytest.mark.parametrize("view", AUDIENCES)
def test_every_view_of_an_audience_has_its_chart(view: str) -> None:
    parameters = PARAMETERS | {"view": view, "by": "jaccard", "audience": "watchers", "other_id": "s2"}
    rows = AUDIENCES[view]
    root = parsed(plot(Table(query="audience", columns=list(rows[0]), rows=rows, parameters=parameters)))
    shown = {
        "nearest": "Ann",
        "overlap": "s2 alone",
        "buyers": "loyal to s2",
        "at_risk": "u7",
    }
    assert shown[view] in texts(root)
    parsed(plot(Table(query="audience", columns=[], rows=[], parameters=parameters)))


def test_the_papers_table_is_two_charts_one_below_the_other() -> None:
    root = parsed(plot(Table(query="paper", columns=list(PAPER[0]), rows=PAPER)))
    upper, lower = root.findall(f"{SVG}svg")
    assert float(lower.attrib["y"]) == float(upper.attrib["height"])
    assert float(root.attrib["height"]) == float(upper.attrib["height"]) + float(lower.attrib["height"])
    assert ("purchases" in texts(upper), "sold by 2 followed" in texts(lower)) == (True, True)
    # Of what is not known nothing is drawn.
    assert "sold by 3 followed" not in texts(root)
    parsed(plot(Table(query="paper", columns=[], rows=[])))


def test_streamers_of_one_name_are_told_apart() -> None:
    rows = [
        {"streamer_id": id_, "name": "Ann", "day": f"2026-01-0{day}", "purchases": day, "views": 0}
        for id_ in ("s1", "s2")
        for day in (1, 2)
    ]
    root = parsed(plot(Table(query="spread", columns=list(rows[0]), rows=rows, parameters=PARAMETERS)))
    assert {"Ann (s1)", "Ann (s2)"} <= set(texts(root))
    assert len(list(root.iter(f"{SVG}polyline"))) == 2


def test_a_funnel_adds_up_over_the_minutes_without_anything() -> None:
    steps = {"views": 0, "carts": 0, "purchases": 0}
    rows = [{"at": f"2026-01-05T10:0{minute}:00Z", "joined": 2, **steps} for minute in (0, 3)]
    root = parsed(plot(Table(query="funnel", columns=list(rows[0]), rows=rows, parameters=PARAMETERS)))
    line = next(iter(root.iter(f"{SVG}polyline"))).attrib["points"].split()
    heights = [float(point.split(",")[1]) for point in line]
    assert heights[0] == heights[1] == heights[2] > heights[3]
