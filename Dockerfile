# One image for API, worker, sandbox and migrations: the command says which. It runs as nobody in particular, and with a
# root file system that is read only (see docker-compose.yml).
FROM python:3.11-slim AS packages

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.run.lock .
RUN python -m venv /venv \
    && /venv/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements.run.lock \
    && /venv/bin/python -m pip uninstall --quiet --yes pip setuptools

FROM python:3.11-slim

# No compiled files at run time: there is nowhere to write them, and root has made them here.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/venv/bin:$PATH
RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 10001 withdrawals \
    && install -d -o withdrawals -m 0700 /state
COPY --from=packages /venv /venv
WORKDIR /app
# What .dockerignore leaves: the rooms, and of the local stack only what makes the keys of a first run.
COPY . .
RUN python -m compileall -q /app
USER 10001
