#!/bin/sh
# Runs in the Dockerfile's build stage: fills the folder $1 with everything the final image has, and nothing else.
set -eu
to=$1
mkdir -p "$to"

# The Debian packages that Node and the keeper are linked with, and their records, which scanners and the SBOM read.
mkdir -p "$to/var/lib/dpkg/status.d"
for package in base-files libc6 libgcc-s1 libstdc++6; do
  dpkg --listfiles "$package" | while read -r file; do
    [ -f "$file" ] || [ -L "$file" ] || continue
    case $file in
      */copyright | /etc/os-release | /usr/lib/os-release | /etc/debian_version | /lib/* | /lib64/* | /usr/lib/*/*.so*) ;;
      *) continue ;;
    esac
    mkdir -p "$to/$(dirname "$file")"
    cp -a "$file" "$to$file"
  done
  dpkg --status "$package" >"$to/var/lib/dpkg/status.d/${package}"
done
rm -rf "$to/lib/systemd" "$to"/usr/lib/*/gconv "$to"/usr/lib/*/audit

mkdir -p "$to/etc" "$to/tmp" "$to/proc" "$to/sys" "$to/dev" "$to/host" "$to/usr/local/bin"
chmod 1777 "$to/tmp"
printf 'root:x:0:0:root:/:/sbin/nologin\nd4c-gate:x:65532:65532:d4c-gate:/:/sbin/nologin\n' >"$to/etc/passwd"
printf 'root:x:0:\nd4c-gate:x:65532:\n' >"$to/etc/group"
printf 'hosts: files dns\n' >"$to/etc/nsswitch.conf"

# Node: the one that the lock file names, without the symbols of its own C++ code.
strip -o "$to/usr/local/bin/node" node_modules/node/bin/node

# d4c-gate: compiled JavaScript, the keeper, the packages it needs at run time.
app=$to/opt/d4c-gate
PATH=$PWD/node_modules/.bin:$PATH npm run build
npm prune --omit=dev --ignore-scripts --no-audit --no-fund
mkdir -p "$app"
cp -a package.json LICENSE dist node_modules "$app"
rm -rf "$app/node_modules/.bin" "$app/node_modules/node-addon-api"
find "$app/node_modules" -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' -o -name '*.markdown' \) \
  ! -iname 'licen[cs]e*' -delete
find "$app/node_modules" -type d -path '*/node_modules/@types' -prune -exec rm -rf {} +
find "$app/node_modules" -type d \( -name test -o -name tests -o -name .github -o -name docs -o -name examples \) -prune -exec rm -rf {} +
find "$app/node_modules" -depth -type d -empty -delete
if [ -d build/Release ]; then
  mkdir -p "$app/build/Release"
  cp build/Release/d4c-gate-keeper build/Release/*.node "$app/build/Release"
  strip --strip-unneeded "$app"/build/Release/*
fi

# npm keeps the owners and modes that files had on their publishers' machines.
chown -R 0:0 "$app"
chmod -R go-w "$app"

# The program's first line asks `env` for Node; there is no `env` here. Node's flag stays.
sed -i '1s,^#!/usr/bin/env -S node,#!/usr/local/bin/node,' "$app/dist/main.js"
chmod 755 "$app/dist/main.js"
ln -s /opt/d4c-gate/dist/main.js "$to/usr/local/bin/d4c-gate"
ln -s /opt/d4c-gate/build/Release/d4c-gate-keeper "$to/usr/local/bin/d4c-gate-keeper"

"$to/usr/local/bin/node" image/sbom.ts "$to" >"$to/opt/d4c-gate/sbom.cdx.json"
