#!/usr/bin/env bash
# What a machine asks of Google Cloud, with curl and tokens of its own account: sourced by boot.sh and
# watch.sh. Every function returns 0 where it did what it says; CONTROL, REGION, REGISTRY and GROUP are
# of /etc/imgbatch/machine. Addresses of services are those that Google's own programs heed.

# Every request is bounded: a watch that hangs watches nothing.
ask() { timeout 60 curl --silent --show-error --connect-timeout 10 --max-time 50 "$@"; }

# metadata PATH: of this machine.
metadata() {
    ask --fail --header "Metadata-Flavor: Google" \
        "http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1/$1"
}

# identify: sets MACHINE and ADDRESS.
# The number and not the name: a machine that was taken back is replaced by one of the same name.
# shellcheck disable=SC2034 # boot.sh and watch.sh read them
identify() {
    MACHINE="$(metadata instance/id)" && ADDRESS="$(metadata instance/network-interfaces/0/ip)"
}

# token: prints an access token of this machine's account.
token() {
    local told
    told="$(metadata instance/service-accounts/default/token)" || return 1
    told="$(tr -d '\n' <<<"$told" | sed -n 's/^.*"access_token" *: *"\([^"]*\)".*$/\1/p')"
    [[ -n "$told" ]] && echo "$told"
}

# google FILE WORDS...: prints the status of what is answered, which comes to lie in FILE.
google() {
    local file="$1" token
    shift
    token="$(token)" || return 1
    # By a file: a command line is read by every process of the machine.
    ask --header @<(echo "Authorization: Bearer $token") --output "$file" --write-out '%{http_code}' "$@"
}

# granted WORDS...: prints what is answered; 1 where it is no success.
granted() {
    local file status
    file="$(mktemp --tmpdir="$STATE")" # in memory: it leaves where the disk is full, too
    status="$(google "$file" "$@")" || status="no answer"
    if [[ "$status" == 2?? ]]; then
        cat "$file" && rm "$file"
        return 0
    fi
    echo "$status: $(head --bytes 500 "$file")" >&2
    rm -f "$file"
    return 1
}

# lease_read FILE: 0 it is in FILE; 1 there is none; 2 it cannot be read.
# Cloud Storage tells a missing object from a forbidden one only where the account may list the bucket.
lease_read() {
    local status
    status="$(google "$1" "$(objects "$(key lease.json)")?alt=media")" || return 2
    if [[ "$status" == 200 ]]; then
        return 0
    fi
    if [[ "$status" == 404 ]] && grep --quiet "No such object" "$1"; then
        return 1
    fi
    echo "lease: $status $(head --bytes 500 "$1")" >&2
    return 2
}

# control_put NAME: what comes on stdin becomes that control object.
control_put() {
    local place="${STORAGE_EMULATOR_HOST:-https://storage.googleapis.com}"
    granted --header "Content-Type: application/json" --data-binary @- \
        "$place/upload/storage/v1/b/$(bucket)/o?uploadType=media&name=$(encoded "$(key "$1")")" >/dev/null
}

# oldest_order: prints the id of the run that waits for longest; nothing where none does.
oldest_order() {
    granted "$(objects "")?maxResults=1&fields=items(name)&prefix=$(encoded "$(key orders/)")" |
        sed -n 's|^.*"name": *"[^"]*/\([^"/]*\)\.json".*$|\1|p'
}

registry_login() {
    token | docker login --username oauth2accesstoken --password-stdin "https://$REGISTRY"
}

# group_leave: this machine ends and its group gets smaller by one, so that it is not replaced.
group_leave() {
    local project zone name place="${CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE:-https://compute.googleapis.com/compute/v1/}"
    project="$(metadata project/project-id)" && zone="$(metadata instance/zone)" &&
        name="$(metadata instance/name)" || return 1
    granted --header "Content-Type: application/json" \
        --data "{\"instances\": [\"zones/${zone##*/}/instances/$name\"], \"skipInstancesOnValidationError\": true}" \
        "${place%/}/projects/$project/regions/$REGION/instanceGroupManagers/$GROUP/deleteInstances"
}

# command_line: has what the functions above need, where the image of the machine lacks it.
command_line() {
    type -P curl >/dev/null || install_package curl curl
}

# gpu_for_containers: has what Docker takes to hand on the GPU, where the image of the machine lacks it.
# Google's images have NVIDIA's list of packages, and of its container toolkit the base, without the
# hook that `docker run --gpus` asks for. The base is held, and apt wants all of it of one version.
# dockerd looks for the hook when it starts (daemon/nvidia_linux.go), so this comes before Docker.
# What of its own runs when it first starts may hold apt's lock: boot.sh stops and outlasts that.
gpu_for_containers() {
    local toolkit=(nvidia-container-toolkit nvidia-container-toolkit-base)
    toolkit+=(libnvidia-container-tools libnvidia-container1)
    type -P nvidia-container-runtime-hook >/dev/null && return 0
    install_package nvidia-container-toolkit --allow-change-held-packages "${toolkit[@]}"
    if type -P docker >/dev/null; then
        systemctl restart docker
    fi
}

# passed: variables that the container gets too.
passed() { echo GCE_METADATA_HOST STORAGE_EMULATOR_HOST "${!CLOUDSDK_API_ENDPOINT_OVERRIDES_@}"; }
bucket() { local rest="${CONTROL#gs://}"; echo "${rest%%/*}"; }
key() { local rest="${CONTROL#gs://}"; echo "${rest#*/}/$1"; }
# Names of ours hold slashes, and nothing else that means something in a URL.
encoded() { echo "${1//\//%2F}"; }
# objects NAME: the URL of an object, or of all with "".
objects() {
    local place="${STORAGE_EMULATOR_HOST:-https://storage.googleapis.com}"
    echo "$place/storage/v1/b/$(bucket)/o${1:+/$(encoded "$1")}"
}
