# Installs what tests/engines starts: Debian's Slurm with its database, PostgreSQL, Chromium and TeX. Quick when all is there.
set -eu
packages="slurm-wlm slurm-wlm-basic-plugins slurmdbd munge mariadb-server postgresql chromium chromium-driver
texlive-latex-base texlive-latex-recommended poppler-utils"
here=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' $packages 2>/dev/null || true)
missing=
for package in $packages; do
    echo "$here" | grep -qx "$package installed" || missing="$missing $package"
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "error: make test-engines installs Debian packages and starts servers: run it as root in a Debian 12 container; make test needs none of that." >&2
    exit 2
fi
if [ -n "$missing" ]; then
    echo "Installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet=2
    apt-get install --quiet=2 --yes --no-install-recommends $missing
fi
