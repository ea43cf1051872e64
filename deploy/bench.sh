#!/usr/bin/env bash
# Prints the machine and the versions, then runs every benchmark of the module.
# BENCH selects benchmarks by regular expression, COUNT repeats them (medians want at least five).
set -euo pipefail
cd "$(dirname "$0")/.."
echo "# $(date -u +%Y-%m-%dT%H:%MZ) $(go version)"
sed -n 's/^model name[^:]*: /# /p' /proc/cpuinfo | sort | uniq -c
grep -E 'gmsm|pebble|echo/v4' go.mod | sed 's/^/#/'
exec go test -run '^$' -bench "${BENCH:-.}" -benchtime "${BENCHTIME:-1s}" -count "${COUNT:-1}" -timeout 60m ./...
