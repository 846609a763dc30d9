#!/bin/sh
# in_image.sh ROOT TREE PYTHON USER COMMAND...: runs a command as USER (uid:gid) without a privilege, where / is ROOT and
# read-only: TREE at /opt/mms-exporter, the Python at PYTHON, the system's libraries. For `unshare --mount`.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1 tree=$2 python=$3 user=$4
shift 4
mount -t tmpfs -o mode=755 tmpfs "$root"
bind() { # from, to
  [ -d "$1" ] || return 0
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
}
for each in /lib /lib64 /usr/lib /usr/lib64 /dev; do
  if [ -L "$each" ]; then cp -P "$each" "$root$each"; else bind "$each" "$each"; fi
done
bind "$python" "$python"
bind "$tree" /opt/mms-exporter
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" "$@"
