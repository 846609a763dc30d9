#!/bin/sh
# install.sh INSTALLED COMMANDS: runs COMMANDS with an /etc and an /opt whose changes end up in INSTALLED/etc and
# INSTALLED/opt. For `unshare --mount`.
set -eu
installed=$1 commands=$2
mkdir -p "$installed/etc" "$installed/work" "$installed/opt"
mount --bind "$installed/opt" /opt
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$installed/etc,workdir=$installed/work" /etc
exec sh -euc "$commands"
