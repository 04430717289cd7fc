#!/bin/sh
# Runs once, when PostgreSQL's volume is empty: makes the database and its owner, who may create roles (the migrations
# make those of the API and the consumers) but is no superuser, as infra/local does for `intray up`.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$INTRAY_OWNER_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE intray LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE intray OWNER intray;
SQL
