#!/usr/bin/env bash
# Provides the base images that the Dockerfiles and compose.yaml name. It pulls each one; if that
# fails, it builds a stand-in under the same name from the engine's Debian system (see engine.sh).
# Stand-ins are approximations: they contain the same servers, built by Debian or from source.
#
#   images.sh DOCKER...     the command that runs docker, such as `docker` or `engine.sh run docker`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/images"

docker=("$@")
root=../../../..
debian=${INTRAY_ENGINE:-${XDG_CACHE_HOME:-/var/cache}/intray/engine}/debian
mirror=$(sed -nE 's/^deb ([^ ]+) .*/\1/p' "$debian/etc/apt/sources.list" 2>/dev/null | head -n 1)

# image prints the name of the only image of this repository that the files name.
image() {
  grep -ohE "(image:|FROM) $1:[^ ]+" "$root"/compose*.yaml "$root"/Dockerfile \
    "$root"/infra/minio/Dockerfile | sed -E 's/^[^ ]+ //' | sort -u
}

# label prints a checksum of what the stand-in is built from, except of the Debian system.
label() {
  { cat "$repository.Dockerfile" && go env GOVERSION; } 2>/dev/null | cksum | cut -d ' ' -f 1
}

# build builds a stand-in. It sends the Dockerfile, and the files that the arguments of tar name.
build() {
  local dockerfile=$1 context status=0
  shift
  context=$(mktemp -d)
  cp "$dockerfile" "$context/Dockerfile"
  tar --create --directory "$context" Dockerfile "$@" |
    "${docker[@]}" build --quiet --tag "$name" --label "stand-in=$(label)" "${arguments[@]}" - ||
    status=$?
  rm -rf "$context"
  return "$status"
}

for repository in debian golang postgres nats caddy; do
  name=$(image "$repository")
  arguments=()
  if have=$("${docker[@]}" image inspect --format '{{index .Config.Labels "stand-in"}}' "$name" \
    2>/dev/null); then
    case $have in
      '' | '<no value>' | "$(label)") continue ;;
    esac
  elif timeout 600 "${docker[@]}" pull --quiet "$name"; then
    continue
  elif [ ! -d "$debian" ]; then
    printf 'images: %s cannot be pulled, and only engine.sh brings stand-ins\n' "$name" >&2
    exit 1
  fi
  printf 'images: %s is a stand-in\n' "$name"
  case $repository in
    debian) tar --create --directory "$debian" . | "${docker[@]}" import - "$name" ;;
    golang)
      go=$(go env GOROOT)
      build golang.Dockerfile --directory / --transform "s:^${go#/}:usr/local/go:" \
        etc/ssl/certs/ca-certificates.crt "${go#/}"
      ;;
    postgres)
      arguments=(--build-arg "MIRROR=$mirror")
      build postgres.Dockerfile
      ;;
    nats | caddy)
      version=${name#*:}
      arguments=(--build-arg "VERSION=${version%-alpine}")
      build "$repository.Dockerfile"
      ;;
  esac
done
