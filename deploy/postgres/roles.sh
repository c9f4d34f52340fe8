#!/bin/sh
# Run once by the PostgreSQL image, on an empty volume: the roles, and a database for the ledger and two for Temporal.
set -eu
secrets=${SECRETS_DIR:-/run/secrets}
psql --username "${POSTGRES_USER:-postgres}" --dbname postgres --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --set owner="$(cat "$secrets/owner_password")" \
    --set app="$(cat "$secrets/app_password")" \
    --set temporal="$(cat "$secrets/temporal_password")" <<'SQL'
CREATE ROLE withdrawals_owner LOGIN PASSWORD :'owner';
CREATE ROLE withdrawals_app LOGIN PASSWORD :'app';
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE withdrawals OWNER withdrawals_owner;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
SQL
