#!/bin/sh
# machine.sh FOLDER INSTALLED: a machine of its own, as far as namespaces go: what install.sh left in INSTALLED, and
# systemd as its first process. For `unshare --mount`. Its changes to /etc end up in FOLDER.
set -eu
folder=$1 installed=$2
mkdir -p "$folder/etc" "$folder/work" "$folder/units"
mount --bind "$installed/opt" /opt
mount -t overlay overlay -o "lowerdir=$installed/etc:/etc,upperdir=$folder/etc,workdir=$folder/work" /etc

# What the units are ordered by, empty: nothing else of this machine's is to start.
for each in machine sysinit basic sockets shutdown network-online multi-user; do
  printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$each" >"$folder/units/$each.target"
done
export folder
exec unshare --pid --fork --kill-child --net --uts --ipc --cgroup sh -euc '
  ip link set lo up
  mount -t proc proc /proc
  mount -t tmpfs -o mode=755 tmpfs /run
  umount -R /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount --bind /dev/null /dev/console
  mount --make-rshared / # or no credential reaches its service
  exec env -i PATH="$PATH" container=test SYSTEMD_UNIT_PATH="/etc/systemd/system:$folder/units" \
    /lib/systemd/systemd --system --unit=machine.target
'
