#!/usr/bin/env bash
# A Ray cluster of several nodes on one machine, to try `--executor ray` on.
#
#   ray-on-one-machine.sh start FOLDER [NODES [CPUS]]   2 nodes of 2 CPUs by default
#   ray-on-one-machine.sh stop FOLDER
#
# Needs ray: pip install 'scaling[ray]'; `ray` of the active environment is used, or that
# of RAY. FOLDER holds the token, the process ids and the logs. The head has no CPUs of its own, so that
# agents run on the nodes; kill the process of a node (FOLDER/node-1.pid) to see another
# take over. `start` prints the lines that let scaling find this cluster.
set -euo pipefail

fail() { echo "ray-on-one-machine: $*" >&2; exit 1; }

[ $# -ge 2 ] || fail "expected: start FOLDER [NODES [CPUS]], or stop FOLDER"
ray=${RAY:-ray}
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$folder"

export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$folder/token
export RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0

node() { # NAME OPTION...: start a node and wait until it is up
    : > "$1.log"
    setsid "$ray" start --block --object-store-memory=100000000 "${@:2}" \
        > "$1.log" 2>&1 &
    echo $! > "$1.pid"
    until grep -q "Ray runtime started" "$1.log"; do
        kill -0 $! 2> /dev/null || fail "$1 did not start; see $folder/$1.log"
        sleep 0.2
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

start() {
    local address
    [ -n "$(type -P "$ray")" ] ||
        fail "no ray here; expected it on the PATH: pip install 'scaling[ray]'"
    [ ! -e head.pid ] || fail "$folder holds a cluster already: stop it first"
    od -An -tx1 -N32 /dev/urandom | tr -d ' \n' > token
    chmod 600 token
    node head --head --port="$(free_port)" --ray-client-server-port="$(free_port)" \
        --include-dashboard=false --num-cpus=0
    address=$(grep -o "[0-9.]*:[0-9]*'$" head.log | head -1 | tr -d "'")
    for ((number = 1; number <= ${1:-2}; number++)); do
        node "node-$number" --address="$address" --num-cpus="${2:-2}"
    done
    echo "export RAY_ADDRESS=$address"
    echo "export RAY_AUTH_MODE=$RAY_AUTH_MODE RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH"
}

stop() {
    [ -e head.pid ] || fail "$folder holds no cluster"
    for pids in node-*.pid head.pid; do
        [ -e "$pids" ] || continue
        session=$(cat "$pids")
        kill "$session" 2> /dev/null || true
        for _ in $(seq 50); do # a zombie has no command line
            grep -q . "/proc/$session/cmdline" 2> /dev/null || break
            sleep 0.2
        done
        pkill -KILL --session "$session" || true
    done
    rm -f ./*.pid token
}

case $1 in
    start) start "${@:3}" ;;
    stop) stop ;;
    *) fail "$1 is neither start nor stop" ;;
esac
