#!/bin/sh
# Writes .env from .env.example, with a random value for every setting that is empty there. It never
# changes an existing .env, because PostgreSQL and MinIO also store passwords from it.
set -eu
cd "$(dirname "$0")/../.."
if [ -e .env ]; then
  echo "write-env: .env already exists and was not changed" >&2
  exit 1
fi
umask 077

# NATS parses a password as a configuration value, so it must begin with a letter. MinIO accepts at
# most 40 characters. 35 random letters and digits have 208 bits of entropy.
secret() {
  printf k
  LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 35
}

while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    \#* | '') printf '%s\n' "$line" ;;
    *=) printf '%s%s\n' "$line" "$(secret)" ;;
    *) printf '%s\n' "$line" ;;
  esac
done <.env.example >.env.new
mv .env.new .env
echo "write-env: wrote .env; only the current user can read it" >&2
