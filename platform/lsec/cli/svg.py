"""Small charts as SVG, ready for a web page: bars in groups, intervals, and lines over an ordered axis."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

COLOURS: Final = ("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#6cc5b0", "#9c6b4e", "#97bbf5")
WIDTH: Final = 860
HEADER: Final = 74
BAR: Final = 13
GAP: Final = 12
MOST_LABEL: Final = 30
PLOT_HEIGHT: Final = 320
FOOTER: Final = 46
RIGHT: Final = 70
CHARACTER: Final = 7
"""The width of one, nearly enough, in the axis' font."""


def bar_chart(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str) -> str:
    """An SVG with one group of bars a label and one bar a series, each with its value at its end.

    Every series has as many values as there are labels; values may be negative.
    """
    group = BAR * max(len(series), 1) + GAP
    height = HEADER + group * max(len(labels), 1) + FOOTER
    values = [value for column in series.values() for value in column]
    left, x, parts = _frame(labels, values, height, unit)
    for row, label in enumerate(labels):
        top = HEADER + GAP / 2 + row * group
        middle = top + BAR * len(series) / 2 + 4
        parts.append(_text(left - 8, middle, _shortened(label), "end", "#222", hover=label))
        for place, (name, column) in enumerate(series.items()):
            value, y = column[row], top + place * BAR
            begin, end = sorted((x(0), x(value)))
            hover = escape(f"{label}, {name}: {_number(value)}")
            parts.append(
                f'<rect x="{begin:.1f}" y="{y:.1f}" width="{end - begin:.1f}" height="{BAR - 2}" '
                f'fill="{_colour(place)}"><title>{hover}</title></rect>'
            )
            parts.append(_text(end + 4, y + BAR - 3.5, _number(value), "start", "#555", size=10))
    return _document(title, height, list(series), parts)


def interval_chart(title: str, rows: Sequence[tuple[str, float, float, float]], *, unit: str) -> str:
    """An SVG with a dot and its interval for each row of label, value, low and high."""
    group = 34
    height = HEADER + group * max(len(rows), 1) + FOOTER
    bounds = [bound for row in rows for bound in row[1:]]
    left, x, parts = _frame([row[0] for row in rows], bounds, height, unit)
    for place, (label, value, least, most) in enumerate(rows):
        y, colour = HEADER + group * (place + 0.5), _colour(0)
        hover = escape(f"{label}: {_number(value)}, {_number(least)} to {_number(most)}")
        parts.append(_text(left - 8, y + 4, _shortened(label), "end", "#222", hover=label))
        parts.append(_line(x(least), y, x(most), y, colour))
        parts += [_line(x(end), y - 5, x(end), y + 5, colour) for end in (least, most)]
        parts.append(
            f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}">'
            f"<title>{hover}</title></circle>"
        )
        parts.append(_text(x(most) + 6, y + 4, _number(value), "start", "#555", size=10))
    return _document(title, height, [], parts)


def _frame(
    labels: Sequence[str], values: Sequence[float], height: int, unit: str
) -> tuple[int, Callable[[float], float], list[str]]:
    """Where the plot begins, right of the labels, where in it a value stands, and its grid with the unit."""
    left = 24 + CHARACTER * max([4, *(min(len(label), MOST_LABEL) for label in labels)])
    ticks = _ticks(min([0.0, *values]), max([0.0, *values]))
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        return left + (WIDTH - RIGHT - left) * (value - low) / (high - low)

    parts = [_text((left + WIDTH - RIGHT) / 2, height - 10, unit, "middle", "#555")]
    for tick in ticks:
        parts.append(_line(x(tick), HEADER, x(tick), height - FOOTER, "#999" if tick == 0 else "#e4e4e4"))
        parts.append(_text(x(tick), height - FOOTER + 16, _number(tick), "middle", "#555"))
    return left, x, parts


def line_chart(
    title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str, axis: str
) -> str:
    """An SVG with a line a series over the labels, which stand in order and at equal distances."""
    values = [value for column in series.values() for value in column]
    ticks = _ticks(min([0.0, *values]), max([0.0, *values]))
    low, high = ticks[0], ticks[-1]
    left = 24 + CHARACTER * max(len(_number(tick)) for tick in ticks)
    bottom = HEADER + PLOT_HEIGHT
    step = (WIDTH - RIGHT - left) / max(len(labels) - 1, 1)

    def y(value: float) -> float:
        return bottom - PLOT_HEIGHT * (value - low) / (high - low)

    parts = []
    for tick in ticks:
        parts.append(_line(left, y(tick), WIDTH - RIGHT, y(tick), "#999" if tick == 0 else "#e4e4e4"))
        parts.append(_text(left - 8, y(tick) + 4, _number(tick), "end", "#555"))
    longest = max([4, *(len(label) for label in labels)])
    every = math.ceil(len(labels) / max(int((WIDTH - left) / (CHARACTER * (longest + 2))), 1)) or 1
    parts += [
        _text(left + place * step, bottom + 18, labels[place], "middle", "#555")
        for place in range(0, len(labels), every)
    ]
    for row, (name, column) in enumerate(series.items()):
        places = [(left + place * step, y(value)) for place, value in enumerate(column)]
        points = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        colour = _colour(row)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-linejoin="round"><title>{escape(name)}</title></polyline>'
        )
        if len(column) <= 60:
            parts += [
                f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.5" fill="{colour}">'
                f"<title>{escape(f'{name}, {label}: {_number(value)}')}</title></circle>"
                for (across, down), label, value in zip(places, labels, column, strict=True)
            ]
    parts.append(_text(left - 8, HEADER - 10, unit, "start", "#555"))
    parts.append(_text((left + WIDTH - RIGHT) / 2, bottom + 38, axis, "middle", "#555"))
    return _document(title, bottom + FOOTER, list(series), parts)


def stacked(title: str, charts: Sequence[str]) -> str:
    """An SVG of charts of this module, one below the other."""
    parts, height = [], 0
    for chart in charts:
        parts.append(f'<svg y="{height}"' + chart.removeprefix("<svg"))
        height += int(chart.partition(' height="')[2].partition('"')[0])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n'
        f"{''.join(parts)}</svg>\n"
    )


def _document(title: str, height: float, names: Sequence[str], parts: Sequence[str]) -> str:
    legend, across = [], 24.0
    for place, name in enumerate(names):
        legend.append(
            f'<rect x="{across:.0f}" y="42" width="10" height="10" rx="2" fill="{_colour(place)}"/>'
            + _text(across + 15, 51, name, "start", "#222")
        )
        across += 34 + CHARACTER * len(name)
    body = "\n".join(
        [_text(24, 26, title, "start", "#111", size=16, weight="600"), *legend, *parts],
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, Segoe UI, Roboto, DejaVu Sans, sans-serif">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str,
    colour: str,
    *,
    size: int = 12,
    weight: str = "400",
    hover: str = "",
) -> str:
    title = f"<title>{escape(hover)}</title>" if hover and hover != text else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}">{title}{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`, about five; 0 is among them if it lies between."""
    if low == high:
        high = low + 1
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * place for place in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _shortened(label: str) -> str:
    return label if len(label) <= MOST_LABEL else label[: MOST_LABEL - 1] + "…"


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
