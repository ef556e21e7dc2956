#!/usr/bin/env bash
# What a machine starts with. Terraform fills this in (infra/modules/core) and gives it to the group's
# launch template as user data; all that it does is lay down boot.sh, watch.sh and its cloud's
# functions, which hold no variable of Terraform's, and start the first.
set -euo pipefail
umask 022

# Tests give each machine a root of its own.
root="${IMGBATCH_ROOT:-}"
mkdir -p "$root/etc/imgbatch" "$root/opt/imgbatch"

cat >"$root/etc/imgbatch/machine" <<'END_OF_FILE'
CLOUD='gcp'
NAME='lab'
REGION='europe-west4'
CONTROL='gs://imgbatch-lab-pictures-123456-europe-west4/control'
IMAGE='europe-west4-docker.pkg.dev/pictures-123456/imgbatch-lab/imgbatch:1'
REGISTRY='europe-west4-docker.pkg.dev'
ROLE='worker'
POOL='gpu'
GROUP='imgbatch-lab-gpu'
GPU='true'
TOKEN='imgbatch-lab-ray-token'
END_OF_FILE

cat >"$root/opt/imgbatch/cloud.sh" <<'END_OF_FILE'
# (functions)
END_OF_FILE

cat >"$root/opt/imgbatch/watch.sh" <<'END_OF_FILE'
# (watch)
END_OF_FILE

cat >"$root/opt/imgbatch/boot.sh" <<'END_OF_FILE'
# (boot)
END_OF_FILE

chmod 755 "$root"/opt/imgbatch/{boot,watch}.sh
exec "$root/opt/imgbatch/boot.sh"
