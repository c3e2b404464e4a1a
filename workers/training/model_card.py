"""The model card: what an artifact is, learned from what, how good, and how to load it, in Markdown.

It says nothing that the manifest does not hold, so it is made anew when that changes; it names no user.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from lsec.core.artifact import Manifest

CARD = "README.md"
PROTOCOLS = {"candidates": "candidate lists", "full_ranking": "full ranking"}
POPULARITY = "popularity"
CURVE = "validations"
CHAMPION = "over_champion"
MAX_LISTED = 10
"""Longer lists are told by their length alone: they are no figure to read."""

SCORES = {
    "cosine": "the inner product of the user's and the product's vector, which have unit length, over the "
    "temperature, plus the product's bias",
    "inner_product": "the inner product of the user's and the product's vector, which have any length, over "
    "the temperature, plus the product's bias",
    "mlp": "what a network says of the user and the product. The network is not in this folder, so only the "
    "slates can be used, and the release cannot be published",
}
USE = """\
To rank the products of the shop whose events it was trained on, for users who have bought there. `slates` has
each such user's best products, without those already bought at the time of the snapshot.
"""
LIMITS = """\
- A user without purchases has no slate, and gets the popular products; users and products newer than the
  snapshot are unknown.
- The figures are of purchases held out from the training data: they compare models, and do not say what a
  recommendation causes. Hold the model's figures against those of popularity before you trust them.
- A user's vector, slate and purchases are data about a person. The erasure of a user empties their rows in
  all files, and takes their purchases out of the count above; what other vectors learned from them stays.
"""
LOAD_VECTORS = """\
import numpy as np
from safetensors.numpy import load_file

ids, users, items = (load_file(f"{{name}}.safetensors") for name in ("user_ids", "user_vectors", "items"))
user_ids, product_ids = (i.view(f"S{{i.shape[1]}}").ravel() for i in (ids["user_ids"], items["product_ids"]))
user = users["user_vectors"][np.flatnonzero(user_ids == b"USER_ID")[0]]
products = items["product_vectors"].astype(np.float32)
scores = products @ user / {temperature!r} + items["product_bias"]
print(product_ids[np.argsort(-scores)[:10]])
"""
LOAD_SLATES = """\
import numpy as np
from safetensors.numpy import load_file

ids, slates, items = (load_file(f"{name}.safetensors") for name in ("user_ids", "slates", "items"))
user_ids, product_ids = (i.view(f"S{i.shape[1]}").ravel() for i in (ids["user_ids"], items["product_ids"]))
slate = slates["slates"][np.flatnonzero(user_ids == b"USER_ID")[0]]
print(product_ids[slate[slate >= 0]][:10])
"""


def model_card(manifest: Manifest) -> str:
    """The card of this manifest."""
    load = LOAD_SLATES if manifest.scoring == "mlp" else LOAD_VECTORS.format(temperature=manifest.temperature)
    parts = [
        f"# {_text(manifest.model)}, release {_text(manifest.release_id)}",
        f"A score is {SCORES[manifest.scoring]}.",
        _table(("", ""), _origin(manifest)),
        "## Trained on",
        _table(("", "number"), manifest.counts.items()),
        _table(("", ""), _source(manifest)),
        "## Figures",
        *_figures(manifest.metrics),
        "## Hyperparameters",
        _table(("name", "value"), manifest.hyperparameters.items()),
        "## Intended use",
        USE.rstrip(),
        "## Limits",
        LIMITS.rstrip(),
        "## Loading it",
        "In this folder, with numpy and safetensors alone:",
        f"```python\n{load}```",
    ]
    return "\n\n".join(parts) + "\n"


def _origin(manifest: Manifest) -> list[tuple[str, Any]]:
    return [
        ("training", manifest.training_id),
        ("made at", manifest.created_at),
        ("scoring", manifest.scoring),
        ("temperature", manifest.temperature),
        ("seed", manifest.seed),
    ]


def _source(manifest: Manifest) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [("SHA-256 of the snapshot", manifest.snapshot_sha256)]
    for name, value in (
        ("up to these positions in the event log", manifest.positions),
        ("scope", manifest.scope),
    ):
        if value is not None:
            rows.append((name, msgspec.json.encode(value).decode()))
    return rows


def _figures(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Both protocols beside popularity, then whatever else there is."""
    popularity = _mapping(metrics.get(POPULARITY))
    rows = [
        (title, name, value, _mapping(popularity.get(protocol)).get(name))
        for protocol, title in PROTOCOLS.items()
        for name, value in _mapping(metrics.get(protocol)).items()
        if not isinstance(value, Mapping)
    ]
    if rows:
        yield _table(("protocol", "figure", "this model", POPULARITY), rows)
    else:
        yield "No purchases could be held out, so there are no figures of its quality."
    if compared := _mapping(metrics.get(CHAMPION)):
        yield from _over_champion(compared)
    told = (*PROTOCOLS, POPULARITY, CURVE, CHAMPION)
    rest = {name: value for name, value in metrics.items() if name not in told}
    for name in PROTOCOLS:
        rest |= {name: _nested(_mapping(metrics.get(name)))}
    others = {name: value for name, value in popularity.items() if name not in PROTOCOLS}
    rest |= {POPULARITY: others | {name: _nested(_mapping(popularity.get(name))) for name in PROTOCOLS}}
    yield from _sections((), rest)
    points = [_mapping(point) for point in metrics.get(CURVE) or ()]
    if points:
        yield "### validations"
        yield _table(tuple(points[0]), [[point.get(name) for name in points[0]] for point in points])


def _over_champion(compared: Mapping[str, Any]) -> Iterator[str]:
    """The comparison with the release that was served, over all users and by segment."""
    yield f"### Against the champion, {_text(compared.get('release_id'))}"
    if not _mapping(compared.get("difference")):
        yield f"It cannot be compared: {_text(compared.get('reason'))}."
        return
    groups = {"all": compared}
    for kind, segments in _mapping(compared.get("segments")).items():
        groups |= {f"{name} {kind}": _mapping(segment) for name, segment in _mapping(segments).items()}
    head = ("over", "users", "figure", "this model", "champion", "difference", "from", "to")
    yield _table(head, [row for name, group in groups.items() for row in _compared(name, group)])


def _compared(name: str, group: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    ours, its = _mapping(group.get("candidate")), _mapping(group.get("champion"))
    for figure, found in _mapping(group.get("difference")).items():
        interval = (_mapping(found).get(each) for each in ("difference", "low", "high"))
        yield name, group.get("num_users"), figure, ours.get(figure), its.get(figure), *interval


def _sections(path: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[str]:
    """Nested figures as tables: alike ones side by side, those below others under a heading of their own."""
    nested = _nested(values)
    plain = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    heading = [f"### {_text(' / '.join(path))}"] if path else []
    if plain:
        yield from heading
        yield _table(("figure", "value"), plain.items())
    if len(nested) > 1 and not any(_nested(_mapping(value)) for value in nested.values()):
        yield from heading if not plain else []
        columns = list(dict.fromkeys(name for value in nested.values() for name in value))
        rows = [(row, *(value.get(name) for name in columns)) for row, value in nested.items()]
        yield _table(("", *columns), rows)
    else:
        for name, value in nested.items():
            yield from _sections((*path, str(name)), value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _nested(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: value for name, value in values.items() if isinstance(value, Mapping) and value}


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines)


def _text(value: Any) -> str:
    """A value in a cell: short, on one line, and without what Markdown would take for a cell's end."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) if len(value) <= MAX_LISTED else f"{len(value)} values"
    return " ".join(str(value).split()).replace("|", r"\|")
