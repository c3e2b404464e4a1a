# One file, two images: `api` without torch, `worker` with it (ingester, training, beat, migrations).
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 UV_PROJECT_ENVIRONMENT=/app/.venv UV_NO_CACHE=1 PATH=/app/.venv/bin:$PATH
RUN pip install --no-cache-dir uv && useradd --create-home --uid 10001 lsec && install -d -o lsec /app /data
WORKDIR /app
USER lsec
COPY --chown=lsec pyproject.toml uv.lock README.md alembic.ini ./

FROM base AS api
RUN uv sync --frozen --no-dev --no-install-project --extra api
COPY --chown=lsec platform platform
COPY --chown=lsec graph_schema graph_schema
COPY --chown=lsec workers workers
COPY --chown=lsec alembic alembic
RUN uv sync --frozen --no-dev --extra api
ENV LSEC_API_HOST=0.0.0.0
CMD ["python", "-m", "lsec.api.server"]

FROM base AS worker
RUN uv sync --frozen --no-dev --no-install-project --extra api --extra workers
COPY --chown=lsec platform platform
COPY --chown=lsec graph_schema graph_schema
COPY --chown=lsec workers workers
COPY --chown=lsec alembic alembic
RUN uv sync --frozen --no-dev --extra api --extra workers
CMD ["celery", "-A", "workers.celery_app:app", "worker", "--pool", "threads", "--concurrency", "1"]
