#!/bin/sh
# The image takes its database password from a variable only: it gets it here, and the container's description has none.
set -eu
POSTGRES_PWD=$(cat /run/secrets/temporal_password)
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh
