#!/bin/sh
# Serve every agent of an exported team here, each in a process of its own, and run one command with them:
#   deploy/team.sh runs/team play --greedy
#   deploy/team.sh runs/team eval --problems 32
# The ports are free ones; the agents stop when the command has ended.
set -eu

if [ $# -lt 2 ] || [ ! -f "$1/team.json" ]; then
    echo "usage: deploy/team.sh TEAM play|eval [options]   (TEAM is a folder that collm export wrote)" >&2
    exit 2
fi
team=$1 command=$2
shift 2
logs=$(mktemp -d)
agents=""

finish() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$agents" ] || kill $agents 2>/dev/null || true
    wait || true
    rm -rf "$logs"
    exit "$status"
}
trap finish EXIT INT TERM

place=0
while [ -d "$team/agent_$place" ]; do
    collm serve "$team/agent_$place" --port 0 --threads 1 >"$logs/$place" &
    agents="$agents $!"
    place=$((place + 1))
done

task="" urls=""
place=0
for process in $agents; do
    until [ -s "$logs/$place" ]; do
        kill -0 "$process" 2>/dev/null || exit 1
        sleep 0.2
    done
    line=$(cat "$logs/$place")
    task=${line%%,*}
    urls="$urls ${line##* }"
    place=$((place + 1))
done

collm "$command" "$task" --agents $urls "$@"
