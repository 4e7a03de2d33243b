#!/bin/bash
# From a bare Debian machine to a working Database as a Service:
# packages, virtual environment, all-in-one, and the main job as a demonstration.
#
#   sudo tools/quickstart.sh [--state-dir DIR] [--bind ADDR] [--database-url URL]
#
# A second run finds what is there and only runs the demonstration again.

set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. tools/packages.sh

VENV=${TROVE_VENV:-/opt/trove-ng/venv}
NEEDED_MB=6000

need_debian_root

state=(--state-dir /var/lib/trove-standalone)
up=()
while [ $# -gt 0 ]; do
    case $1 in
        --state-dir) [ $# -ge 2 ] || die "$1 needs a value"; state=("$1" "$2"); shift 2 ;;
        --bind|--database-url) [ $# -ge 2 ] || die "$1 needs a value"; up+=("$1" "$2"); shift 2 ;;
        -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) die "unknown option $1 (try --help)" ;;
    esac
done

# enough_disk DIR: refuse when the file system of DIR is nearly full
enough_disk() {
    local dir=$1 free
    while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
    free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$NEEDED_MB" ] ||
        die "low disk: $free MB are free at $dir, $NEEDED_MB MB are needed"
}

if [ ! -e "${state[1]}/settings.json" ]; then
    enough_disk "${state[1]}"
    enough_disk "$(dirname "$VENV")"
fi

install_packages standalone
mkdir -p "$(dirname "$VENV")"
make_venv "$VENV" all

"$VENV/bin/trove-standalone" up "${state[@]}" "${up[@]}"
say "the all-in-one is up; now the main job"
"$VENV/bin/trove-standalone" demo "${state[@]}"
echo
echo "Clients: $VENV/bin/trove, $VENV/bin/openstack"
echo "Stop:    sudo $VENV/bin/trove-standalone down ${state[*]}"
echo "Remove:  sudo $VENV/bin/trove-standalone destroy ${state[*]}"
say "done"
