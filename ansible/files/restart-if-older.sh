#!/bin/sh
# Restart a unit that does not run, or that has run since before one of its files was written:
#   restart-if-older.sh UNIT FILE…
# A handler would forget that when a run is interrupted. Prints "changed" or "unchanged".
set -eu
unit=$1
shift
systemctl daemon-reload
since=$(systemctl show --timestamp=us+utc --property=ActiveEnterTimestamp --value "$unit")
if systemctl is-active --quiet "$unit" && [ -n "$since" ] && [ -z "$(find "$@" -type f -newermt "$since")" ]; then
    echo unchanged
    exit 0
fi
systemctl reset-failed "$unit" 2>/dev/null || true
if ! systemctl restart "$unit"; then
    journalctl --quiet --output=cat --unit="$unit" --lines=20 >&2
    echo "$unit could not be started; its last lines are above." >&2
    exit 1
fi
echo changed
