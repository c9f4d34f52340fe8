# One image for API, worker, sandbox and migrations: the command says which.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

COPY requirements.lock .
RUN pip install --quiet --require-hashes --no-deps -r requirements.lock

COPY . .
RUN useradd --system --no-create-home withdrawals && install -d -o withdrawals -m 0700 /state
USER withdrawals
