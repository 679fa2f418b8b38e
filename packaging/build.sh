#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds Debian or RPM packages from a copy of this tree. What is built already from the same files
# is kept. DEB_BUILD_OPTIONS is obeyed; without it tests and debug packages are left out. PACKAGE_CFLAGS are
# the compiler's last options; packages for a try need not be fast.
#   usage: build.sh deb|rpm OUT
set -eu
kind=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
python3 packaging/generate.py --check

sources()
{
    git ls-files -co --exclude-standard | grep -v '^reference/' | while read -r file; do
        [ -e "$file" ] && echo "$file"
    done
}

flags=${PACKAGE_CFLAGS-}
sum=$({ sources | tr '\n' '\0' | xargs -0 sha256sum; echo "$flags"; } | sha256sum | cut -d ' ' -f 1)
if [ "$(cat "$out/$kind.stamp" 2>/dev/null)" = "$sum" ]; then
    echo "build.sh: $out has the $kind packages of these files"
    exit 0
fi
version=$(dpkg-parsechangelog -S Version)
tree=$out/$kind/backplane-$version
rm -rf "${out:?}/$kind" "$out/$kind.stamp"
mkdir -p "$tree"
sources | tar -c -T - | tar -x -C "$tree"

case $kind in
deb)
    rm -f "$out"/*.deb "$out"/*.dsc "$out"/*.changes "$out"/*.buildinfo "$out"/*.tar.*
    export DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS-nocheck noautodbgsym terse parallel=$(nproc)}"
    (cd "$tree" && DEB_CFLAGS_APPEND=$flags dpkg-buildpackage -us -uc)
    find "$out/deb" -maxdepth 1 -type f -exec mv {} "$out/" \;
    ;;
rpm)
    mkdir -p "$out/rpm/SOURCES"
    tar -c -z -C "$out/rpm" -f "$out/rpm/SOURCES/backplane-$version.tar.gz" "backplane-$version"
    # Debian has no RPM database: what is needed was looked for by ./dev setup.
    rpmbuild -bb --nodeps --define "_topdir $out/rpm" ${flags:+--define "build_cflags $flags"} \
        packaging/rpm/backplane.spec
    rm -f "$out"/*.rpm
    find "$out/rpm/RPMS" -name '*.rpm' -exec mv {} "$out/" \;
    ;;
*)
    echo "build.sh: $kind is not one of deb, rpm" >&2
    exit 1
    ;;
esac
rm -rf "${out:?}/$kind"
echo "$sum" >"$out/$kind.stamp"
