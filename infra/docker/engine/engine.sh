#!/usr/bin/env bash
# Runs a container engine for the step `containers` of .ci/run where none answers. It needs root on
# Debian and a mirror of Debian, but no image registry and no service manager.
#
#   engine.sh up FOLDER      starts the engine, which sees FOLDER at the same path
#   engine.sh run CMD...     runs a command in the engine's namespaces: with its files and network
#   engine.sh log            prints the engine's log
#   engine.sh down           ends the engine and everything in it
#
# The engine is Debian trixie's, unpacked into the folder INTRAY_ENGINE (by default below
# /var/cache), where its images also stay. It runs in process, mount and network namespaces of its
# own: when its first process ends, the kernel ends all others, and removes the mounts and networks.
# On the host there are only a virtual network link, the rules that route it to the Debian mirror
# and the Go module proxy, and a control group; `down` removes them.
set -euo pipefail

home=${INTRAY_ENGINE:-${XDG_CACHE_HOME:-/var/cache}/intray/engine}
state=$home/state
root=$home/root
link=intray-engine
host_address=10.213.77.1
engine_address=10.213.77.2
network=10.213.77.0/30

fail() {
  printf 'engine: %s\n' "$*" >&2
  exit 1
}

# packages installs the programs that build and connect the engine.
packages() {
  local program missing=()
  for program in debootstrap iptables ip:iproute2 pgrep:procps; do # a program, and its package
    PATH=$PATH:/usr/sbin:/sbin command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  apt-get update -q -o DPkg::Lock::Timeout=300
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${missing[@]}"
}

# mirror prints the Debian mirror that this machine uses, or nothing, for debootstrap's default.
mirror() {
  sed -nE 's/^(URIs:|deb( \[[^]]*\])?)[[:space:]]+(https?:[^ ]*\/debian)\/?([[:space:]].*)?$/\3/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1
}

# unpack creates the base system (debian, from which the stand-in images are made too) and the
# engine (root), unless both exist. A folder that is not complete has a name that ends in .new.
unpack() {
  local debian=$home/debian found
  mkdir -p "$home"
  if [ ! -d "$debian" ]; then
    packages
    rm -rf "$debian.new"
    found=$(mirror) || true
    debootstrap --variant=minbase --include=ca-certificates trixie "$debian.new" ${found:+"$found"}
    # A mirror can be older than the clock. Services must not start during an installation.
    echo 'Acquire::Check-Valid-Until "false";' >"$debian.new/etc/apt/apt.conf.d/90snapshot"
    printf '#!/bin/sh\nexit 101\n' >"$debian.new/usr/sbin/policy-rc.d"
    chmod 755 "$debian.new/usr/sbin/policy-rc.d"
    rm -rf "$debian.new"/var/cache/apt/archives/*.deb
    mv "$debian.new" "$debian"
  fi
  if [ ! -d "$root" ]; then
    rm -rf "$root.new"
    cp -a "$debian" "$root.new"
    cp /etc/resolv.conf "$root.new/etc/resolv.conf"
    chroot "$root.new" sh -euc '
      export DEBIAN_FRONTEND=noninteractive
      apt-get update -q
      apt-get install -q -y --no-install-recommends \
        docker.io docker-cli docker-buildx docker-compose iptables
      apt-get clean'
    mv "$root.new" "$root"
  fi
}

# connect gives the engine's network namespace a route to the outside through the host.
connect() {
  local pid=$1
  cat /proc/sys/net/ipv4/ip_forward >"$state/ip_forward"
  ip link add "$link" type veth peer name uplink netns "$pid"
  ip address add "$host_address/30" dev "$link"
  ip link set "$link" up
  nsenter --target "$pid" --net sh -euc "
    ip link set lo up
    ip address add $engine_address/30 dev uplink
    ip link set uplink up
    ip route add default via $host_address"
  echo 1 >/proc/sys/net/ipv4/ip_forward
  iptables --wait --table nat --append POSTROUTING --source "$network" ! --out-interface "$link" \
    --jump MASQUERADE
  iptables --wait --insert FORWARD --source "$network" --jump ACCEPT
  iptables --wait --insert FORWARD --destination "$network" --jump ACCEPT
}

# disconnect removes what connect added to the host. The link goes with its namespace, too.
disconnect() {
  ip link delete "$link" 2>/dev/null || true
  iptables --wait --table nat --delete POSTROUTING --source "$network" ! --out-interface "$link" \
    --jump MASQUERADE 2>/dev/null || true
  iptables --wait --delete FORWARD --source "$network" --jump ACCEPT 2>/dev/null || true
  iptables --wait --delete FORWARD --destination "$network" --jump ACCEPT 2>/dev/null || true
  if [ -s "$state/ip_forward" ]; then
    cat "$state/ip_forward" >/proc/sys/net/ipv4/ip_forward
  fi
}

# engine_pid prints the process id of the engine's first process.
engine_pid() {
  local outer
  outer=$(cat "$state/pid" 2>/dev/null) && pgrep --parent "$outer" | head -n 1
}

# wait_for runs a command every 0.1 s until it succeeds, for at most the given number of seconds.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

# run runs a command in the current folder if the engine sees it, otherwise in the root folder.
run() {
  local pid folder=$PWD
  pid=$(engine_pid) || true
  [ -n "$pid" ] || fail "the engine is not running"
  [ -d "/proc/$pid/root$folder" ] || folder=/
  exec nsenter --target "$pid" --mount --net --pid --root --wdns="$folder" \
    env HOME=/root DOCKER_HOST=unix:///run/docker.sock "$@"
}

up() {
  local folder=$1
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "no container engine answers (docker version), and one can be installed only as root on Debian"
  [ -d "$folder" ] || fail "$folder is not a folder"
  if [ -d "$state" ]; then
    # A run that was killed leaves its engine behind.
    ! kill -0 "$(cat "$state/owner")" 2>/dev/null || fail "the engine is in use by another process"
    down
  fi
  packages
  unpack
  mkdir -p "$state" "$root$folder" "$root/var/lib/docker"
  printf '%s\n' "$PPID" >"$state/owner"
  printf '%s\n' "$folder" >"$state/folder"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  # The first process of the engine mounts what it needs, and starts dockerd again whenever it ends,
  # as a service manager does. --kill-child ends it when unshare is killed.
  setsid unshare --mount --net --pid --fork --kill-child sh -euc '
    root=$1 folder=$2
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount --bind "$folder" "$root$folder"
    mkdir -p "$root/run/host"
    cd "$root"
    pivot_root . run/host
    umount --lazy /run/host
    ended=
    trap "ended=yes; kill -TERM \$! || true" TERM
    until [ -n "$ended" ]; do
      rm -f /var/run/docker.pid
      dockerd --host unix:///run/docker.sock --cgroup-parent /intray-engine \
        --default-address-pool base=10.214.0.0/16,size=24 --bip 10.215.0.1/24 &
      wait $! || true
    done
    wait $! || true
  ' sh "$root" "$folder" </dev/null >"$home/engine.log" 2>&1 &
  echo $! >"$state/pid"
  wait_for 10 engine_pid || fail "the engine did not start: see $home/engine.log"
  connect "$(engine_pid)"
  # "$0 run" enters the namespaces; until dockerd answers, the root is not ready.
  wait_for 60 "$0" run docker version || fail "the engine does not answer: see $home/engine.log"
}

down() {
  local outer pid
  if outer=$(cat "$state/pid" 2>/dev/null) && pid=$(engine_pid) && [ -n "$pid" ]; then
    # dockerd ends its containers. It gets 20 s for that; then the kernel ends all processes.
    kill -TERM "$pid" 2>/dev/null || true
    wait_for 20 sh -c "! kill -0 $outer" || kill -KILL "$outer"
    wait_for 20 sh -c "! kill -0 $outer" || fail "the engine's processes did not end"
  fi
  disconnect
  rmdir "$root$(cat "$state/folder" 2>/dev/null)" 2>/dev/null || true
  rm -rf "$state"
  # Control groups can be removed only from the innermost one outwards.
  find /sys/fs/cgroup -depth -type d -path '*/intray-engine*' -exec rmdir {} + 2>/dev/null || true
}

case ${1:-} in
  up) up "${2:?folder}" ;;
  run) shift && run "$@" ;;
  log) cat "$home/engine.log" ;;
  down) down ;;
  *) fail "usage: engine.sh up FOLDER | run CMD... | log | down" ;;
esac
