#!/bin/sh
# Releases on this host. The playbooks call this; it works by hand, too, when no control machine is near.
#
#   lipsync-release list
#   lipsync-release prepare SLOT ID FORM LAYER COMMAND…   bring up what was fetched, and have it examine this host,
#                                                         unless it did within the hour and under the same settings
#   lipsync-release switch SLOT ID LAYER READY_S KEEP     finish what is under way, run ID, and go back when it does not
#   lipsync-release would SLOT ID LAYER                   say whether `switch` would change anything
#   lipsync-release rollback SLOT READY_S [ID]            hand back what is under way and run the previous release, in
#                                                         the place of ID only
#   lipsync-release undo SLOT READY_S ID                  the same, as if ID had never run: the previous release is again
#                                                         the one that it was before; for batches that are taken back
#   lipsync-release status SLOT                           say what runs
#   lipsync-release remove                                stop everything and leave nothing of the fleet
#
# A slot is a link to a release: `current` for workers, `watch` for those who watch. LAYER is the id of the layer with
# the CUDA libraries, or `none`; it changes together with the release. FORM is `squashfs` or `tree`.
# Beside the links, hidden: .SLOT.older and .cuda.older lead to what `previous` was before the last switch, and
# .SLOT.unproved says where the links led before a switch that has not proved itself yet. What was examined stands in
# /run/lipsync-release; without its file there, a release examines this host again.
# Standard output is one JSON document; what went wrong is the last line on standard error.
set -eu
umask 022

root=/opt/lipsync
units=/etc/systemd/system
links="current previous .current.older watch watch-previous .watch.older cuda cuda-previous .cuda.older"

die() {
    echo "$*" >&2
    exit 1
}

# --- links ------------------------------------------------------------------------------------------------------------

# The id that a link leads to, empty when there is none.
leads_to() {
    if [ -L "$root/$1" ]; then
        basename "$(readlink "$root/$1")"
    fi
}

# Let a link lead to another folder, in one step; without one, there is no link.
lead() {
    if [ -z "$2" ]; then
        rm -f "$root/$1"
    elif [ "$(leads_to "$1")" != "$2" ]; then
        ln -sfn "$3/$2" "$root/.$1.new"
        mv -T "$root/.$1.new" "$root/$1"
    fi
}

# The same, empty also when that has been pruned.
still() {
    id_there=$(leads_to "$2")
    if [ -n "$id_there" ] && [ -d "$root/$1/$id_there" ]; then
        echo "$id_there"
    fi
}

previous_of() {
    case $1 in
        current) echo previous ;;
        *) echo "$1-previous" ;;
    esac
}

# --- units ------------------------------------------------------------------------------------------------------------

# The units of a slot that shall run.
wanted() {
    systemctl show --property=Wants --value "$(target_of "$1")" | tr ' ' '\n' | grep '^lipsync-' | sort || true
}

target_of() {
    case $1 in
        current) echo lipsync-workers.target ;;
        watch) echo lipsync-watch.target ;;
        *) die "$1 is no slot: name current or watch." ;;
    esac
}

# Patterns of all units of a slot, wanted or not.
patterns() {
    case $1 in
        current) echo 'lipsync-worker@*.service' ;;
        *) echo 'lipsync-exporter*.service lipsync-flower*.service' ;;
    esac
}

running() {
    # shellcheck disable=SC2046  # patterns are words
    systemctl list-units --plain --no-legend --state=active $(patterns "$1") | cut -d ' ' -f 1 | sort
}

# Whether exactly the wanted units run, and with the settings that are written.
settled() {
    [ ! -e "$root/.$1.unproved" ] || return 1 # somebody interrupted its switch
    [ "$(running "$1")" = "$(wanted "$1")" ] || return 1
    for unit in $(wanted "$1"); do
        since=$(systemctl show --timestamp=us+utc --property=ActiveEnterTimestamp --value "$unit")
        file=$(systemctl show --property=FragmentPath --value "$unit")
        newer=$(find "$file" "$units/lipsync-.service.d" /etc/lipsync -type f -newermt "$since")
        [ -z "$newer" ] || return 1
    done
}

# Stop all units of a slot: `finish` lets workers finish their parts, `hand_back` has them hand these back.
stop() {
    if [ "$2" = hand_back ] && [ "$1" = current ]; then
        systemctl kill --kill-who=main --signal=SIGQUIT 'lipsync-worker@*.service' 2>/dev/null || true
    fi
    # shellcheck disable=SC2046
    systemctl stop $(patterns "$1") # as patterns, units that do not exist are no mistake
}

# Start what is wanted and wait until it is ready; `why` says what is wrong otherwise.
start() {
    why=
    started=$(wanted "$1")
    if [ -z "$started" ]; then
        rm -f "$root/.$1.unproved"
        return 0
    fi
    systemctl daemon-reload
    # shellcheck disable=SC2086
    systemctl reset-failed $started 2>/dev/null || true
    # shellcheck disable=SC2086
    if ! systemctl start $started; then
        why="systemd could not start it: $(last_words "$started")"
        return 1
    fi
    deadline=$(($(date +%s) + $2))
    for unit in $started; do
        until ready "$unit"; do
            if [ "$(systemctl show --property=NRestarts --value "$unit")" != 0 ] || ! systemctl is-active --quiet "$unit"; then
                why="$unit ended: $(last_words "$unit")"
                return 1
            fi
            if [ "$(date +%s)" -ge "$deadline" ]; then
                why="$unit was not ready within $2 s: $(last_words "$unit")"
                return 1
            fi
            sleep 0.2
        done
    done
    rm -f "$root/.$1.unproved"
}

# A worker says when it has loaded and proved what it needs; those who watch listen on a port.
ready() {
    case $1 in
        lipsync-worker@*) journal_of_this_start "$1" | grep -q worker_ready ;;
        *) ss --listening --tcp --processes --no-header | grep -q "pid=$(systemctl show --property=MainPID --value "$1")," ;;
    esac
}

journal_of_this_start() {
    journalctl --quiet --output=cat "_SYSTEMD_INVOCATION_ID=$(systemctl show --property=InvocationID --value "$1")"
}

# What the programs of units said last; what systemd says of them, where they said nothing.
last_words() {
    journalctl --sync || true # what was said in the last moment may not be there yet
    for unit in $1; do
        said=$(journalctl --quiet --output=cat _SYSTEMD_UNIT="$unit" --lines=5 | grep . | tail -n 1)
        [ -n "$said" ] || said=$(journalctl --quiet --output=cat --unit="$unit" --lines=5 | tail -n 1)
        echo "$said" | cut -c 1-600
    done | tr '\n' ' '
}

# --- releases on the disk ---------------------------------------------------------------------------------------------

# Mount or unpack what was fetched.
install() {
    folder=$1 name=$2 form=$3 # `id` is the caller's: sh has no variables of a function
    tree=$root/$folder/$name
    case $form in
        squashfs)
            image=$root/images/$name.squashfs
            [ -f "$image" ] || die "The image of $name is not on this host: run deploy.yml, which fetches it."
            unit=$(systemd-escape --path --suffix=mount "$tree")
            if [ -L "$units/local-fs.target.wants/$unit" ] && mountpoint -q "$tree"; then
                return
            fi
            if [ ! -f "$units/$unit" ]; then
                printf '[Unit]\nDescription=Release %s\nBefore=local-fs.target\n\n' "$name" >"$units/.$unit"
                printf '[Mount]\nWhat=%s\nWhere=%s\nType=squashfs\nOptions=loop,ro,nodev,nosuid\n\n' "$image" "$tree" >>"$units/.$unit"
                printf '[Install]\nWantedBy=local-fs.target\n' >>"$units/.$unit"
                mv "$units/.$unit" "$units/$unit"
            fi
            # Not `enable`, after which systemd reads all its units again: it reads a new one when that is started.
            mkdir -p "$units/local-fs.target.wants"
            ln -sfn "$units/$unit" "$units/local-fs.target.wants/$unit"
            systemctl start "$unit" ||
                die "The image of $name cannot be mounted: $(last_words "$unit"). Set lipsync_release_form to tree where the kernel does not mount images."
            ;;
        tree)
            [ ! -d "$tree/lib" ] || return 0
            archive=$root/images/$name.tar.zst
            [ -f "$archive" ] || die "The archive of $name is not on this host: run deploy.yml, which fetches it."
            command -v zstd >/dev/null ||
                die "Unpacking needs zstd: install it on this host, or set lipsync_release_form to squashfs."
            rm -rf "$root/$folder/.unpacking"
            mkdir "$root/$folder/.unpacking"
            if ! said=$(tar --extract --zstd --no-same-owner --file="$archive" --directory="$root/$folder/.unpacking" 2>&1); then
                rm -rf "$root/$folder/.unpacking"
                die "The archive of $name cannot be unpacked: $(echo "$said" | tail -n 1)."
            fi
            rmdir "$tree" 2>/dev/null || true
            mv -T "$root/$folder/.unpacking" "$tree"
            ;;
        *) die "$form is no form of a release: name squashfs or tree." ;;
    esac
}

# Whether any link leads to a release or a layer, hidden ones too.
led_to() {
    for link in $links; do
        [ "$(leads_to "$link")" != "$1" ] || return 0
    done
    return 1
}

# Remove the oldest releases beyond a number; those that a link leads to stay.
prune() {
    for folder in releases layers; do
        kept=0
        for id in $(find "$root/images" -type f -printf '%T@ %f\n' | sort -rn | sed 's/^[^ ]* //; s/\..*//'); do
            [ -d "$root/$folder/$id" ] || continue
            kept=$((kept + 1))
            [ "$kept" -gt "$1" ] || continue
            ! led_to "$id" || continue
            unit=$(systemd-escape --path --suffix=mount "$root/$folder/$id")
            if [ -f "$units/$unit" ]; then
                systemctl disable --quiet --now "$unit" || continue # somebody still reads it
                rm -f "$units/$unit"
            fi
            rm -rf "${root:?}/$folder/$id" "$root/images/$id.squashfs" "$root/images/$id.tar.zst"
        done
    done
}

# --- commands ---------------------------------------------------------------------------------------------------------

list() {
    for folder in releases layers; do
        for tree in "$root/$folder"/*/; do
            [ -d "$tree" ] || continue
            id=$(basename "$tree")
            marks=
            for link in current previous watch watch-previous cuda cuda-previous; do
                [ "$(leads_to $link)" != "$id" ] || marks="$marks $link"
            done
            echo "$folder/$id$marks"
        done
    done
}

# What was done: whether that changed the host, and where it stands now.
report() {
    printf '{"changed": %s, "host": "%s", "slot": "%s", "release": "%s", "from": "%s", "units": %s, "finishing_s": %s, "starting_s": %s}\n' \
        "$1" "$(uname -n)" "$2" "$(leads_to "$2")" "${3:-}" "$(wanted "$2" | grep -c .)" "${4:-0}" "${5:-0}"
}

prepare() {
    slot=$1 id=$2 form=$3 layer=$4
    shift 4
    if [ "$layer" != none ]; then
        install layers "$layer" "$form"
        [ -n "$(leads_to cuda)" ] || lead cuda "$layer" layers # nothing runs with it yet
    fi
    install releases "$id" "$form"
    tree=$root/releases/$id
    [ -x "$tree/bin/lipsync" ] || die "What was fetched as $id holds no bin/lipsync: it is no release. Push it again."
    if [ "$(leads_to "$slot")" = "$id" ]; then
        report false "$slot"
        return
    fi
    fit="$layer $*" mark=/run/lipsync-release/$slot-$id
    if [ -f "$mark" ] && [ "$(cat "$mark")" = "$fit" ] && [ -n "$(find "$mark" -mmin -60)" ] &&
        [ -z "$(find /etc/lipsync "$units/lipsync-.service.d" -type f -newer "$mark")" ]; then
        report false "$slot" # examined within the hour, with the settings that it has now
        return
    fi
    mkdir -p /run/lipsync-release
    echo "$fit" >"$mark.new" # settings that are written meanwhile shall be newer
    # Confined as the units are, and with the new layer in the place of the one that runs.
    place=
    if [ "$layer" != none ] && [ "$(leads_to cuda)" != "$layer" ]; then
        place="--property=BindReadOnlyPaths=$root/layers/$layer:$root/layers/$(leads_to cuda)"
    fi
    if said=$(systemd-run --quiet --wait --pipe --collect --unit="lipsync-gate-$id" ${place:+"$place"} \
        --property=EnvironmentFile=/etc/lipsync/lipsync.env "$tree/bin/lipsync" "$@" 2>&1); then
        mv "$mark.new" "$mark"
        report false "$slot"
    else
        echo "$said" >&2
        die "Release $id is not fit for this host, and was not switched to: $(echo "$said" | tail -n 1)"
    fi
}

would() {
    slot=$1 id=$2 layer=$3
    if [ "$(leads_to "$slot")" = "$id" ] && { [ "$layer" = none ] || [ "$(leads_to cuda)" = "$layer" ]; } && settled "$slot"; then
        report false "$slot"
    else
        report true "$slot"
    fi
}

# Let the links lead where they led before the switch; the variables are the caller's.
restore() {
    lead "$slot" "$old" releases
    lead "$previous" "$older" releases
    if [ "$slot" != watch ]; then
        lead cuda "$old_layer" layers
        lead cuda-previous "$older_layer" layers
    fi
}

switch() {
    slot=$1 id=$2 layer=$3 ready_s=$4 keep=$5
    previous=$(previous_of "$slot")
    [ -x "$root/releases/$id/bin/lipsync" ] || die "Release $id is not on this host: run deploy.yml, which fetches it."
    old=$(leads_to "$slot") older=$(leads_to "$previous") old_layer=$(leads_to cuda) older_layer=$(leads_to cuda-previous)
    mark=$root/.$slot.unproved
    if [ -f "$mark" ]; then
        # A switch was interrupted: the links may lead to what never ran, and there would be no way back.
        IFS=: read -r old older old_layer older_layer <"$mark"
    fi
    [ "$layer" != none ] || layer=$old_layer
    if [ "$old" = "$id" ] && [ "$old_layer" = "$layer" ] && settled "$slot"; then
        report false "$slot"
        return
    fi
    begun=$(date +%s)
    stop "$slot" finish
    stopped=$(date +%s)
    echo "$old:$older:$old_layer:$older_layer" >"$mark.new"
    mv "$mark.new" "$mark"
    if [ "$old" = "$id" ]; then
        restore # an interrupted switch may have moved them
    else
        lead ".$slot.older" "$older" releases
        lead "$previous" "$old" releases
        if [ "$slot" != watch ]; then
            lead .cuda.older "$older_layer" layers
            lead cuda-previous "$old_layer" layers
        fi
    fi
    lead "$slot" "$id" releases
    [ "$slot" = watch ] || lead cuda "$layer" layers
    if start "$slot" "$ready_s"; then
        prune "$keep"
        report true "$slot" "$old" $((stopped - begun)) $(($(date +%s) - stopped))
        return
    fi
    failed=$why
    if [ "$old" = "$id" ]; then
        die "Release $id does not run on this host with the settings that it has now: $failed"
    fi
    stop "$slot" hand_back
    restore
    [ -n "$old" ] || die "Release $id does not run on this host, which had none before: $failed"
    start "$slot" "$ready_s" || die "Release $id does not run on this host: $failed; and $old does not any more: $why"
    die "Release $id does not run on this host, which is back on $old: $failed"
}

rollback() {
    slot=$1 ready_s=$2 leave=${3:-}
    old=$(leads_to "$slot") id=$(leads_to "$(previous_of "$slot")")
    if [ -n "$leave" ] && [ "$old" != "$leave" ]; then
        report false "$slot"
        return
    fi
    if [ -z "$id" ] || [ ! -x "$root/releases/$id/bin/lipsync" ]; then
        die "There is no previous release on this host to go back to: run deploy.yml with the id of the one that shall run."
    fi
    if [ "$old" = "$id" ] && settled "$slot"; then
        report false "$slot"
        return
    fi
    stop "$slot" hand_back
    lead "$slot" "$id" releases
    if [ "$slot" != watch ] && [ -n "$(leads_to cuda-previous)" ]; then
        lead cuda "$(leads_to cuda-previous)" layers
    fi
    if [ -n "${undoing:-}" ]; then
        lead "$(previous_of "$slot")" "$(still releases ".$slot.older")" releases
        [ "$slot" = watch ] || lead cuda-previous "$(still layers .cuda.older)" layers
    fi
    start "$slot" "$ready_s" || die "The previous release $id does not run on this host: $why"
    report true "$slot" "$old"
}

undo() {
    undoing=yes
    rollback "$@"
}

status() {
    report false "$1"
}

remove() {
    for slot in current watch; do
        systemctl disable --quiet "$(target_of $slot)" 2>/dev/null || true
        stop $slot finish
    done
    for link in $links; do
        rm -f "$root/$link"
    done
    prune 0
    systemctl disable --quiet nvidia-device-files.service 2>/dev/null || true
    rm -f "$units/nvidia-device-files.service"
    find "$units" -maxdepth 1 -name 'lipsync-*' -exec rm -rf {} +
    rm -rf /etc/lipsync /etc/tmpfiles.d/lipsync.conf /etc/sysusers.d/lipsync.conf /run/lipsync-release /usr/local/bin/lipsync
    find "$root" /var/cache/lipsync -xdev -mindepth 1 -delete
    systemctl daemon-reload
    printf '{"changed": true, "host": "%s"}\n' "$(uname -n)"
    rm -f /usr/local/sbin/lipsync-release
}

main() {
    [ "$(id -u)" = 0 ] || die "Releases are for root: call lipsync-release with sudo."
    [ $# -gt 0 ] || die "Say what to do: list, status, prepare, would, switch, rollback, undo or remove."
    what=$1
    shift
    case $what in
        list | status | would) "$what" "$@" ;;
        prepare | switch | rollback | undo | remove)
            # One at a time: a run that was interrupted on the control machine may still be at work here.
            exec 9>/run/lock/lipsync-release
            flock --timeout 900 9 || die "Another lipsync-release has been at work on this host for a quarter of an hour; end it and try again."
            "$what" "$@"
            ;;
        *) die "lipsync-release does not know $what: it knows list, status, prepare, would, switch, rollback, undo and remove." ;;
    esac
}

main "$@" </dev/null
