"""What the API's answers are held against, behind the API's own server: `python -m bench.serving_apps NAME`.

`bare` looks a user up in arrays, leaves three products out and encodes twenty: the least that FastAPI can do
for a recommendation. `ceiling` is the API with one more route, which answers with the bytes of a file: as
fast as the API could be if it had nothing to recommend. Settings are the environment's.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
from fastapi import APIRouter, FastAPI, Response
from fastapi import Path as PathParameter

from bench.serving_market import RELEASE_ID
from lsec.core.logs import configure_logging
from lsec.core.settings import Settings, load_settings

CEILING_FILE = "ceiling.json"
"""In the data folder: what the ceiling answers."""
SLATE_LENGTH, NUM_LEFT_OUT, NUM_SHOWN = 50, 3, 20


def bare_app(settings: Settings, _: Path | None) -> FastAPI:
    """Arrays of as many users and products as the released ones."""
    # Here and below only now: the API's counters ask where to count as they are imported.
    from lsec.core.artifact import open_artifact

    artifact = open_artifact(settings.artifacts_path / RELEASE_ID)
    user_ids = np.array(artifact.user_ids)
    order = np.argsort(user_ids)
    sorted_ids = user_ids[order]
    product_ids = [id_.decode() for id_ in artifact.product_ids.tolist()]
    slates, scores = np.array(artifact.slates), np.array(artifact.slate_scores)
    left_out = {row: set(slates[row, :NUM_LEFT_OUT].tolist()) for row in range(len(slates))}
    app = FastAPI()

    @app.get("/v1/users/{user_id}/recommendations")
    async def answer(user_id: str) -> Response:
        row = int(order[np.searchsorted(sorted_ids, user_id.encode())])
        bought = left_out[row]
        kept = zip(slates[row].tolist(), scores[row].tolist(), strict=True)
        products = [
            {"product_id": product_ids[product], "score": score}
            for product, score in kept
            if product not in bought
        ]
        body = orjson.dumps({"user_id": user_id, "products": products[:NUM_SHOWN]})
        return Response(body, media_type="application/json")

    return app


def ceiling_app(settings: Settings, counters: Path | None) -> FastAPI:
    """The API, and a route with its key, its middleware and its way of answering."""
    from lsec.api.app import create_app
    from lsec.api.dependencies import requires
    from lsec.api.direct_route import DirectRoute, match_first
    from lsec.core.ledger import Scope

    body = (settings.data_dir / CEILING_FILE).read_bytes()
    app = create_app(settings, counters=counters)
    router = APIRouter(route_class=DirectRoute)

    @router.get("/ceiling/{user_id:path}/recommendations", dependencies=[requires(Scope.READ)])
    async def answer(user_id: Annotated[str, PathParameter(max_length=256)]) -> Response:  # noqa: ARG001 - the path has it
        return Response(body, media_type="application/json")

    app.include_router(router)
    match_first(app, router)
    return app


def main() -> int:
    from lsec.api.server import run

    settings = load_settings()
    configure_logging(settings, process="api")
    return run(settings, {"bare": bare_app, "ceiling": ceiling_app}[sys.argv[1]])


if __name__ == "__main__":
    sys.exit(main())
