#!/bin/sh
# Writes .env from .env.example with a random value for every setting that is empty there. It never touches a .env that
# exists: the passwords in it are in the databases too.
set -eu
cd "$(dirname "$0")/../.."
if [ -e .env ]; then
  echo "write-env: .env is there already; nothing was changed" >&2
  exit 1
fi
umask 077

# NATS reads a password as a value of its configuration, so it begins with a letter; MinIO takes 40 characters at most.
# 35 of 62 kinds hold 208 bits.
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
echo "write-env: wrote .env, readable for you alone" >&2
