#!/bin/sh
# The command `lipsync` of the release that this host runs, with the host's settings and as the user of its workers.
set -eu

for slot in current watch; do
    program=/opt/lipsync/$slot/bin/lipsync
    [ ! -x "$program" ] || break
done
if [ ! -x "$program" ]; then
    echo "This host has no release yet: run deploy.yml on the control machine." >&2
    exit 2
fi
if [ "$(id -u)" = 0 ]; then
    exec runuser -u lipsync -- "$0" "$@"
fi
if [ ! -r /etc/lipsync/lipsync.env ]; then
    echo "Only root and the group lipsync may read this host's settings: call lipsync with sudo." >&2
    exit 2
fi
set -a
# shellcheck source=/dev/null
. /etc/lipsync/lipsync.env
set +a
exec "$program" "$@"
