#!/usr/bin/env bash
# Brings a machine up: watch, lease, container. What fails is reported, and the machine leaves.
# May be run again at any time.
set -euo pipefail

# shellcheck source=infra/boot/watch.sh
. "${IMGBATCH_ROOT:-}/opt/imgbatch/watch.sh"
: "${GPU_SECONDS:=180}" "${TRY_SECONDS:=10}"
LOG="$ROOT/var/log/imgbatch-boot.log"

# cloud-init brings what is printed here to the machine's console.
mkdir -p "$ROOT/var/log" "$STATE"
exec > >(tee -a "$LOG") 2>&1

STEP="begin"
step() { STEP="$1"; echo "$(date -u +%FT%TZ) boot: $STEP"; }
trap 'ended $?' EXIT
# ended CODE: a boot that failed tells why, and the machine leaves. Nothing that it calls may return
# without a number: in a trap that is the code that the boot failed with.
ended() {
    if [[ "$1" == 0 ]]; then
        return 0
    fi
    local reason="${REASON:-boot: $STEP failed: $(tail -n 3 "$LOG" | tr '\n' ' ')}"
    if ! report "$reason"; then
        echo "the reason could not be reported"
        if [[ "$ROLE" == head ]]; then
            touch "$STATE/heir" # nobody would know why the run does not begin: the next one tries
        fi
    fi
    leave "$reason"
}
fail() { REASON="$1"; exit 1; }

# tries COUNT COMMAND...: until it works.
tries() {
    local count="$1" attempt
    shift
    for ((attempt = 1; attempt < count; attempt++)); do
        "$@" && return 0
        sleep $((attempt * TRY_SECONDS))
    done
    "$@"
}

# install_package NAME_FOR_DNF WORDS_FOR_APT...
install_package() {
    if type -P dnf >/dev/null; then
        tries 5 dnf install --assumeyes --quiet "$1"
    else
        tries 5 apt-get update --quiet
        # What a machine does by itself when it first starts may hold the lock for a while.
        DEBIAN_FRONTEND=noninteractive tries 5 apt-get install --yes --quiet \
            --option DPkg::Lock::Timeout=120 "${@:2}"
    fi
}

watched() {
    mkdir -p "$ROOT/etc/systemd/system"
    cat >"$ROOT/etc/systemd/system/imgbatch-watch.service" <<'UNIT'
[Unit]
Description=ends this machine when nobody pays attention to it any more
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/opt/imgbatch/watch.sh
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable --now imgbatch-watch.service
}

# An upgrade in the background may take the GPU's driver away, and holds apt's lock meanwhile.
still() {
    local unit
    for unit in unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer; do
        systemctl disable --now "$unit" || echo "boot: this system has no $unit"
    done
}

# The head comes before its lease does: the watch gives it 15 minutes.
leased() {
    local reason
    if [[ "$ROLE" == worker ]]; then
        reason="$(look)"
        if [[ -n "$reason" ]]; then
            leave "$reason"
            trap - EXIT
            exit 0
        fi
    fi
}

gpu_answers() {
    local until=$(($(uptime) + GPU_SECONDS))
    until timeout 60 nvidia-smi; do
        if (($(uptime) >= until)); then
            fail "nvidia-smi did not pass in $GPU_SECONDS s: $(timeout 60 nvidia-smi 2>&1 | tail -n 3 | tr '\n' ' ')"
        fi
        sleep 5
    done
}

docker_answers() {
    type -P docker >/dev/null || install_package docker docker.io
    systemctl enable --now docker
    tries 6 docker info >/dev/null
}

# The container has nothing but this: credentials come from the machine's role.
environment() {
    local variable
    for variable in $(passed); do
        if [[ -n "${!variable:-}" ]]; then
            echo "$variable=${!variable}"
        fi
    done >"$ROOT/etc/imgbatch/container"
}

container() {
    local words=(--detach --name imgbatch --network host --shm-size 1g --ulimit nofile=65536:65536)
    local job=(-P -m "jobs.node" "$CONTROL" --pool "$POOL")
    words+=(--env-file "$ROOT/etc/imgbatch/container" --log-opt max-size=50m)
    if [[ "$GPU" == true ]]; then
        words+=(--gpus all)
    fi
    if [[ "$ROLE" == head ]]; then
        words+=(--restart on-failure:10) # what passes takes some; what does not is told soon
        job=(-P -m "jobs.head" "$CONTROL")
    fi
    docker rm --force imgbatch >/dev/null 2>&1 || true # of a boot before this one, if any
    docker run "${words[@]}" --entrypoint python "$IMAGE" "${job[@]}" --machine "$MACHINE" --address "$ADDRESS"
}

step "watch"
watched
step "identity"
tries 5 identify
step "system"
still
step "command line"
command_line
step "lease"
leased
if [[ "$GPU" == true ]]; then
    step "gpu"
    gpu_answers
    gpu_for_containers
fi
step "docker"
docker_answers
if [[ -z "$(docker ps --quiet --filter name=^imgbatch$)" ]]; then
    step "registry"
    tries 5 registry_login
    step "pull"
    tries 5 docker pull --quiet "$IMAGE"
    step "container"
    environment
    container
fi
touch "$STATE/up"
step "up"
