#!/bin/sh
# in_build.sh ROOT FOLDER COMMAND: runs a build step where / is ROOT, with the folders of this machine in it but for
# those of the image. For `unshare --mount`: nothing that is mounted here outlives it.
set -eu
root=$1 folder=$2 command=$3
for each in /*; do
  name=${each#/}
  case $name in opt | build) continue ;; esac
  if [ -L "$each" ]; then
    [ -L "$root/$name" ] || cp -P "$each" "$root/$name"
  elif [ -d "$each" ]; then
    mkdir -p "$root/$name"
    mount --rbind "$each" "$root/$name"
  fi
done
exec chroot "$root" /bin/sh -euc "cd '$folder'; $command"
