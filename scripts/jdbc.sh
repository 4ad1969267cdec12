#!/usr/bin/env bash
# Fetches the Flight SQL JDBC driver from Maven's central repository and checks its digest.
# Usage: scripts/jdbc.sh DESTINATION.jar
set -euo pipefail
cd "$(dirname "$0")/.."
destination=$1
digest=3f418b46c880e263558c5de669bdbede2c5d4375527ced116fb29f795b03704c
mkdir -p "$(dirname "$destination")"
part=$(mktemp -d "$(dirname "$destination")/part.XXXXXX")
trap 'rm -rf "$part"' EXIT
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
  -Dartifact=org.apache.arrow:flight-sql-jdbc-driver:18.3.0 -DoutputDirectory="$part"
echo "$digest  $part/flight-sql-jdbc-driver-18.3.0.jar" | sha256sum --check --quiet
mv "$part/flight-sql-jdbc-driver-18.3.0.jar" "$destination"
