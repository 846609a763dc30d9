#!/bin/sh
# install.sh INSTALLED PYTHON COMMANDS: runs COMMANDS with an /etc and an /opt whose changes end up in INSTALLED/etc and
# INSTALLED/opt. For `unshare --mount`. PYTHON is found at /opt/python, since the unit hides the homes, and one may lie
# there.
set -eu
installed=$1 python=$2 commands=$3
mkdir -p "$installed/etc" "$installed/work" "$installed/opt/python"
mount --bind "$installed/opt" /opt
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$installed/etc,workdir=$installed/work" /etc
mount --bind "$python" /opt/python
# Where its library is in a home, that is hidden too.
echo /opt/python/lib >/etc/ld.so.conf.d/00-python.conf
ldconfig -X
export PATH="/opt/python/bin:$PATH"
exec sh -euc "$commands"
