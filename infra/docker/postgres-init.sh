#!/bin/sh
# Creates the database and its owner. The image runs this script once, when PostgreSQL's volume is
# empty. The owner may create roles, because the migrations create those of the API and the
# consumers, but is not a superuser. infra/local does the same for `intray up`.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$INTRAY_OWNER_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE intray LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE intray OWNER intray;
SQL
