#!/usr/bin/env bash
# Ends this machine when nobody pays attention to it any more. It runs as a service of the system,
# beside the container and without anything of it: no Python, no imgbatch, no Ray.
#
# Each minute it reads the lease, and leaves its group (which gets smaller by one) when
#   a worker  finds no lease, or one for another pool;
#   the head  has had no lease of its own for 15 minutes;
#   a worker  cannot read it for 10 minutes; a head that read its own has until that deadline;
#   both      see a beat that does not change for 10 minutes, are past
#             the deadline, did not come up in 15 minutes, or lost their container or their docker.
# A head whose place another one has, or is to have, ends without a word to its group; README.md has
# the table.
# imgbatch/cloud/leaving.py holds the same rules of the lease in Python; a test compares the two.
set -euo pipefail

ROOT="${IMGBATCH_ROOT:-}"
STATE="$ROOT/run/imgbatch"
# Seconds; what a test makes shorter.
: "${WATCH_SECONDS:=60}" "${SILENT_SECONDS:=600}" "${HEAD_SECONDS:=900}" "${BOOT_SECONDS:=900}"
: "${LEFT_SECONDS:=300}"
export HOME="${HOME:-/root}" # neither cloud-init nor systemd sets it
# shellcheck source=/dev/null
. "$ROOT/etc/imgbatch/machine"
# shellcheck source=infra/boot/aws.sh
. "$ROOT/opt/imgbatch/cloud.sh"
MACHINE="" # until it is known

# Seconds that no clock's correction touches.
uptime() { local up rest; read -r up rest </proc/uptime; echo "${up%.*}"; }

# field NAME [FILE]: a value of the lease, which holds one key per line.
field() {
    sed -n "s/^\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "${2:-$STATE/lease.json}"
}

# sound FILE: whether it is a lease.
sound() { [[ "$(field deadline "$1") $(field beat "$1") $(field left "$1")" =~ ^-?[0-9]+\ [0-9]+\ -?[0-9]+$ ]]; }

# What is remembered lies in files: this may be started again, and must not begin to count anew.
recall() { cat "$STATE/$1" 2>/dev/null || echo "$2"; }
keep() { echo "$2" >"$STATE/$1.$$" && mv "$STATE/$1.$$" "$STATE/$1"; }

# verdict READ NOW CLOCK: prints why to leave; nothing: stay.
#   READ   what lease_read returned: 0, 1 or 2
#   NOW    uptime
#   CLOCK  seconds since 1970 by this machine
verdict() {
    local read="$1" now="$2" clock="$3" beat age
    keep since "$(recall since "$now")"
    if [[ "$read" == 2 ]]; then
        # A head that nobody would wake again goes by the last deadline that it knows.
        if [[ "$ROLE" == head && -e "$STATE/own" ]]; then
            keep blind "$now"
            late "$now" "$clock" || true
        elif ((now - $(recall read "$(recall since "$now")") >= SILENT_SECONDS)); then
            if [[ "$ROLE" == head ]]; then
                touch "$STATE/heir" # a run may wait for who can read: the next one tries
            fi
            echo "the lease could not be read for $SILENT_SECONDS s"
        fi
        return 0
    fi
    keep read "$now"
    rm -f "$STATE/own" "$STATE/heir"
    if [[ "$ROLE" == head && ("$read" == 1 || "$(field head_machine)" != "$MACHINE") ]]; then
        if [[ "$read" == 0 ]]; then
            beat="$(field head_machine) $(field beat)"
            if [[ "$beat" != "$(recall other "$beat")" ]]; then
                touch "$STATE/heir" # renewed since the last look: another head leads
            fi
            keep other "$beat"
        fi
        if ((now - $(recall mine "$(recall since "$now")") >= HEAD_SECONDS)); then
            echo "this head had no lease of its own for $HEAD_SECONDS s"
        fi
        return 0
    fi
    keep mine "$now"
    if [[ "$read" == 1 ]]; then
        echo "there is no lease"
        return 0
    fi
    if [[ "$ROLE" == worker && "$(field pool)" != "$POOL" ]]; then
        echo "the lease is for pool $(field pool)"
        return 0
    fi
    beat="$(field run) $(field beat)"
    if [[ "$beat" != "$(recall beat none)" ]]; then
        keep beat "$beat"
        keep changed "$now"
    fi
    if [[ "$ROLE" == head ]]; then
        touch "$STATE/own"
    fi
    # Who could not read could not write: the head has its time to renew from when it can.
    age=$((now - $(recall blind 0)))
    if ((age > now - $(recall changed "$now"))); then
        age=$((now - $(recall changed "$now")))
    fi
    if ! late "$now" "$clock" && ((age >= SILENT_SECONDS)); then
        if [[ "$ROLE" == head ]]; then
            touch "$STATE/heir" # it hangs: the run goes on with the next one
        fi
        echo "the lease was not renewed for $SILENT_SECONDS s"
    fi
}

# late NOW CLOCK: whether the deadline of the lease that was read last has passed; prints so. A head
# behind which runs wait that have longer has an heir: nobody would wake another for them.
late() {
    local age left deadline last
    age=$(($1 - $(recall changed "$1")))
    left="$(field left)" deadline="$(field deadline)" last="$(field until)"
    if ((age < left && $2 < deadline)); then
        return 1
    fi
    if [[ "$ROLE" == head ]] && ((age < left + last - deadline && $2 < last)); then
        touch "$STATE/heir"
        echo "the deadline has passed, and runs wait that have longer"
    else
        echo "the deadline has passed"
    fi
}

# look: reads the lease and prints why to leave; nothing: stay.
look() {
    local read=0 file="$STATE/lease.$$"
    mkdir -p "$STATE"
    lease_read "$file" >&2 || read=$?
    if [[ "$read" == 0 ]] && ! sound "$file"; then
        read=2
    fi
    if [[ "$read" == 0 ]]; then
        mv "$file" "$STATE/lease.json"
    fi
    verdict "$read" "$(uptime)" "$(date +%s)"
}

# unmanned: prints why a machine without its container is of no use; nothing: it has one, or it is
# still to come.
unmanned() {
    local now since running
    now="$(uptime)"
    since="$(recall since "$now")"
    if [[ ! -e "$STATE/up" ]]; then
        if ((now - since >= BOOT_SECONDS)); then
            echo "it did not come up in $BOOT_SECONDS s"
        fi
    elif ! running="$(timeout 60 docker ps --quiet --filter name=^imgbatch$)"; then
        keep docker "$(recall docker "$now")"
        if ((now - $(recall docker "$now") >= SILENT_SECONDS)); then
            echo "docker did not answer for $SILENT_SECONDS s"
        fi
    else
        keep docker "$now"
        if [[ -z "$running" ]]; then
            echo "its container ended: $(last_words)"
        fi
    fi
}

# last_words: what the container said last, in one line.
last_words() { timeout 60 docker logs --tail 5 imgbatch 2>&1 | tr '\n' ' ' || true; }

# retired: whether a head's process ended by itself, having seen to its group or to another head.
retired() {
    local form='{{.State.Status}} {{.State.ExitCode}}'
    [[ "$ROLE" == head && "$(timeout 60 docker container inspect --format "$form" imgbatch 2>&1)" == "exited 0" ]]
}

# report REASON: tells the run why this machine is of no use to it, or `imgbatch cloud status` why a
# head that a schedule woke is of none. The first reason counts.
report() {
    local run=""
    if [[ -e "$STATE/left" ]] || retired; then
        return 0
    fi
    [[ -n "$MACHINE" ]] || identify || return 1
    # The lease that a head finds may be that of a run before.
    if [[ "$ROLE" == worker && -s "$STATE/lease.json" ]]; then
        run="$(field run)"
    fi
    run="${run:-$(oldest_order)}"
    # A head comes to a queue without an order where a schedule woke it, to put one there.
    if [[ -z "$run" && "$ROLE" == worker ]]; then
        return 0
    fi
    printf '{\n"machine": "%s",\n"pool": "%s",\n"reason": "%s",\n"at": %s\n}\n' "$MACHINE" "$POOL" \
        "$(tr -d '\000-\037' <<<"$1" | sed 's/[\\"]/\\&/g')" "$(date +%s)" |
        control_put "${run:+runs/$run/}boots/$MACHINE.json"
}

# leave REASON: out of the group. Where the cloud does not take that, the machine ends itself: its
# group may replace it then, and the next one finds the same lease. A head with an heir, or that saw
# to its group before it ended, only ends itself: its group is as large as it should be.
#
# The cloud is asked once, by whoever comes first: whether a second request for a machine that is
# ending makes the group smaller by another one could not be found out.
leave() {
    echo "leaving: $1"
    if [[ -e "$STATE/heir" ]] || retired; then
        shutdown -h now
        return 0
    fi
    (
        flock 9
        leave_once
    ) 9>"$STATE/leaving"
}

leave_once() {
    local attempt now
    now="$(uptime)"
    if [[ -e "$STATE/left" ]]; then
        if ((now - $(recall left "$now") >= LEFT_SECONDS)); then
            shutdown -h now
        fi
        return 0
    fi
    for attempt in 1 2 3; do
        if group_leave; then
            keep left "$now"
            return 0
        fi
        sleep $((attempt * WATCH_SECONDS / 12))
    done
    shutdown -h now
}

watch() {
    local reason began
    mkdir -p "$STATE"
    began="$(uptime)" # its own: one that begins again on a healthy machine has its time too
    until identify; do
        if (($(uptime) - began >= BOOT_SECONDS)); then
            shutdown -h now
        fi
        sleep 5
    done
    while :; do
        reason="$(look)"
        # A worker that the lease sends away is well; a head never is.
        if [[ -n "$reason" && "$ROLE" == worker ]]; then
            leave "$reason"
        else
            reason="${reason:+$reason: $(last_words)}"
            reason="${reason:-$(unmanned)}"
            if [[ -n "$reason" ]]; then
                report "$reason" || echo "the reason could not be reported"
                leave "$reason"
            fi
        fi
        sleep "$WATCH_SECONDS"
    done
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
    watch
fi
