#!/bin/sh
# Follows the README in an empty Debian: installs what it names, sets up and trains a tiny trial. As root, with debootstrap.
#   sh tests/fresh.sh [SUITE] [FOLDER]     trixie, /tmp/groie-SUITE; PIP_* variables reach pip there
set -eu
suite=${1:-trixie}
root=${2:-/tmp/groie-$suite}
here=$(cd "$(dirname "$0")/.." && pwd)
command -v debootstrap > /dev/null || { echo "error: debootstrap is missing: apt-get install debootstrap" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "error: debootstrap needs root" >&2; exit 2; }
[ -e "$root/bin/sh" ] || debootstrap --variant=minbase --include=ca-certificates,git,python3-venv,make "$suite" "$root"
rm -rf "$root/root/groie"
git clone --quiet "$here" "$root/root/groie"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # of this machine, which may be behind a proxy
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
trap 'umount "$root/proc"; umount -l "$root/dev"' EXIT
chroot "$root" /bin/sh -eu -c '
    cd /root/groie
    python3 --version
    make setup
    .venv/bin/python run.py schedule.epochs=1 dataset.train_images=16 dataset.val_images=8
    .venv/bin/python -m analysis table --sweep last'
