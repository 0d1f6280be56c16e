#!/usr/bin/env bash
# Run a command with a Docker engine: docker/with-engine.sh make test
#
# Takes the engine that answers. Where none does, installs one (Debian, as root), starts it for the command alone
# and stops it afterwards. It has no network, and nothing is pulled: an image of this machine's own folders' names,
# all empty, is imported as forge-test:host; the tests mount what they need into them.
set -euo pipefail
export FORGE_TEST_IMAGE=forge-test:host

install_engine() {
  command -v dockerd >/dev/null && return
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends docker.io >/dev/null
}

start_engine() {  # the storage driver that the engine finds best, or vfs, which works everywhere
  local folder=$1 driver tries
  for driver in '' vfs; do
    setsid dockerd --host "unix://$folder/socket" --data-root "$folder/data" --exec-root "$folder/exec" \
      --pidfile "$folder/pid" --bridge=none --iptables=false --ip6tables=false ${driver:+--storage-driver "$driver"} \
      >"$folder/log" 2>&1 </dev/null &
    for tries in $(seq 100); do
      docker version >/dev/null 2>&1 && return
      kill -0 $! 2>/dev/null || break
      sleep 0.2
    done
  done
  echo "with-engine: no engine starts here; it says:" >&2
  tail -n 20 "$folder/log" >&2
  return 69
}

stop_engine() {
  local folder=$1 process
  process=$(cat "$folder/pid" 2>/dev/null) || true
  if [ -n "${process:-}" ]; then
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
    kill "$process" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$process" 2>/dev/null || break; sleep 0.1; done
  fi
  rm -rf "$folder"
}

import_image() {  # /bin, /lib and others are links into /usr on most machines, and folders on the rest
  local root name
  root=$(mktemp -d)
  mkdir -p "$root"/{dev,etc,proc,sbin,sys,tmp,usr,var}  # sbin is where the engine puts its init
  for name in bin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"; elif [ -d "/$name" ]; then mkdir "$root/$name"; fi
  done
  tar -C "$root" -c . | docker import - "$FORGE_TEST_IMAGE" >/dev/null
  rm -r "$root"
}

if ! docker version >/dev/null 2>&1; then
  install_engine
  folder=$(mktemp -d "${TMPDIR:-/tmp}/forge-engine-XXXXXX")
  export DOCKER_HOST="unix://$folder/socket"
  trap 'stop_engine "$folder"' EXIT
  start_engine "$folder"
fi
import_image
code=0
"$@" || code=$?
exit "$code"
