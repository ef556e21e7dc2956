#!/usr/bin/env bash
# What a machine asks of AWS, with AWS's own command line: sourced by boot.sh and watch.sh.
# Every function returns 0 where it did what it says; CONTROL and REGION are of /etc/imgbatch/machine.

export AWS_REGION="$REGION" AWS_DEFAULT_REGION="$REGION" AWS_PAGER="" AWS_MAX_ATTEMPTS=2
# A second and one try, as the SDKs have it, is too little for a busy machine: it would be without
# credentials, and a lease that cannot be read ends it.
export AWS_METADATA_SERVICE_TIMEOUT=5 AWS_METADATA_SERVICE_NUM_ATTEMPTS=3
# The CLI asks for itself, so every request is bounded: a watch that hangs watches nothing.
aws() { timeout 60 "$(type -P aws)" --cli-connect-timeout 10 --cli-read-timeout 20 "$@"; }

# metadata PATH: of this machine, by the token that IMDSv2 wants.
metadata() {
    local service="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}" token
    local ask=(curl --silent --show-error --fail --max-time 5)
    token="$("${ask[@]}" --request PUT --header "X-aws-ec2-metadata-token-ttl-seconds: 300" \
        "${service%/}/latest/api/token")" || return 1
    "${ask[@]}" --header "X-aws-ec2-metadata-token: $token" "${service%/}/latest/meta-data/$1"
}

# identify: sets MACHINE and ADDRESS.
# shellcheck disable=SC2034 # boot.sh reads ADDRESS
identify() {
    MACHINE="$(metadata instance-id)" && ADDRESS="$(metadata local-ipv4)"
}

# lease_read FILE: 0 it is in FILE; 1 there is none; 2 it cannot be read.
# S3 tells a missing object from a forbidden one only where the role may list the bucket.
lease_read() {
    local said
    if said="$(aws s3api get-object --bucket "$(bucket)" --key "$(key lease.json)" "$1" 2>&1)"; then
        return 0
    fi
    if [[ "$said" == *"(NoSuchKey)"* ]]; then
        return 1
    fi
    echo "lease: $said" >&2
    return 2
}

# control_put NAME: what comes on stdin becomes that control object.
control_put() { aws s3 cp --quiet - "$CONTROL/$1"; }

# oldest_order: prints the id of the run that waits for longest; nothing where none does.
oldest_order() {
    aws s3api list-objects-v2 --bucket "$(bucket)" --prefix "$(key orders/)" --max-items 1 \
        --query 'Contents[0].Key' --output text | sed -n 's|^.*/\(.*\)\.json$|\1|p'
}

registry_login() {
    aws ecr get-login-password | docker login --username AWS --password-stdin "$REGISTRY"
}

# group_leave: this machine ends and its group gets smaller by one, so that it is not replaced.
# One that the group ends already counts no more: to ask then might take another one's place.
group_leave() {
    if [[ "$(metadata autoscaling/target-lifecycle-state 2>/dev/null)" == Terminated ]]; then
        return 0
    fi
    aws autoscaling terminate-instance-in-auto-scaling-group --instance-id "$MACHINE" \
        --should-decrement-desired-capacity --output text
}

# command_line: has what the functions above need, where the image of the machine lacks it.
command_line() {
    type -P aws >/dev/null || install_package awscli-2 awscli
}

gpu_for_containers() { :; } # the image has it all

# passed: variables that the container gets too.
passed() {
    echo AWS_REGION AWS_DEFAULT_REGION AWS_ENDPOINT_URL AWS_EC2_METADATA_SERVICE_ENDPOINT
    echo AWS_METADATA_SERVICE_TIMEOUT AWS_METADATA_SERVICE_NUM_ATTEMPTS
}
bucket() { local rest="${CONTROL#s3://}"; echo "${rest%%/*}"; }
key() { local rest="${CONTROL#s3://}"; echo "${rest#*/}/$1"; }
