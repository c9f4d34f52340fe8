#!/bin/sh
# The namespace of the withdrawals, if it is not there: histories of finished runs are kept for 30 days.
set -eu
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" ||
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
