#!/usr/bin/env bash
# Runs compose.yaml with a container engine, as README.md says, and checks the deployment: the tests
# of infra/docker/containers. It uses the engine that answers, or starts one (engine.sh), and pulls
# the base images or builds stand-ins (images.sh). Arguments are passed on to the tests, such as
# -test.run=Operator. With the argument `upgrade`, it starts the deployment of an earlier commit and
# runs only the test of an upgrade from there.
#
# The deployment is a copy of this checkout with a project name of its own, which is removed at the
# end with its volumes. Images and the cache of builds stay, and make the next run fast.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

# The last commit before migration 40, with which API processes of earlier versions do not work.
earlier=1743e6b
engine=$PWD/infra/docker/engine/engine.sh
export COMPOSE_PROJECT_NAME=intray-check INTRAY_IMAGE=intray:check
all_files=compose.yaml:compose.front.yaml
work=$(mktemp -d /tmp/intray-containers.XXXXXX)
started=
in_engine=()

# finish removes everything that this script started. It runs whenever the script exits.
finish() {
  local status=$?
  trap - EXIT
  if [ -e "$work/intray/.env" ]; then
    (cd "$work/intray" && { [ ! -e compose.front.yaml ] || export COMPOSE_FILE=$all_files; } &&
      "${in_engine[@]}" docker compose --progress quiet --profile '*' down --volumes --remove-orphans \
        --timeout 0) || status=1
  fi
  if [ -n "$started" ]; then
    if [ "$status" != 0 ]; then
      printf 'the end of the log of the engine, and what the kernel killed:\n' >&2
      "$engine" log | grep -v -e level=info -e level=warning | tail -n 20 >&2 || true
      dmesg 2>/dev/null | grep -iE 'out of memory|oom-kill|segfault' | tail -n 10 >&2 || true
    fi
    # Each change of the source leaves an image and layers behind.
    "$engine" run docker image prune --force >/dev/null || status=1
    "$engine" run docker builder prune --force --keep-storage 6GB >/dev/null || status=1
    "$engine" down || status=1
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# checkout prints an archive of this checkout.
checkout() {
  git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from - --ignore-failed-read 2>/dev/null
}

mkdir "$work/intray"
skip=TestUpgrade
if [ "${1:-}" = upgrade ]; then
  skip=none
  set -- -test.run=TestUpgrade
  git archive "$earlier" | tar --extract --directory "$work/intray"
  checkout >"$work/upgrade.tar"
else
  checkout | tar --extract --directory "$work/intray"
fi
CGO_ENABLED=0 go test -c -tags containers -o "$work/containers.test" ./infra/docker/containers &
compiled=$!

if ! docker version >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
  started=yes
  "$engine" up "$work"
  in_engine=("$engine" run)
fi
"${in_engine[@]}" docker version --format 'engine {{.Server.Version}}'
"${in_engine[@]}" docker compose version
# A run that was killed leaves its deployment behind, whose passwords differ.
(cd / && "${in_engine[@]}" docker compose --project-name "$COMPOSE_PROJECT_NAME" \
  down --volumes --remove-orphans --timeout 0 2>/dev/null)
infra/docker/engine/images.sh "${in_engine[@]}" docker

# An engine that others may use is not killed.
[ -n "$started" ] || skip="$skip|TestUnderUploads/killed_engine"

wait "$compiled"
cd "$work/intray"
"${in_engine[@]}" "$work/containers.test" -test.v -test.timeout=30m -test.skip="$skip" "$@"
