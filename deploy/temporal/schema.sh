#!/bin/sh
# Brings Temporal's two schemas to the version of this image; changes nothing where they are.
set -eu
SQL_PASSWORD=$(cat /run/secrets/temporal_password)
export SQL_PASSWORD
for database in temporal temporal_visibility; do
    case $database in
        temporal) schema=temporal ;;
        temporal_visibility) schema=visibility ;;
    esac
    tool="temporal-sql-tool --plugin postgres12 --ep $POSTGRES_SEEDS --port $DB_PORT --user $POSTGRES_USER --db $database"
    # Says so, and fails, where the version table is there already: the update below is what counts.
    $tool setup-schema --version 0.0 || true
    $tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
