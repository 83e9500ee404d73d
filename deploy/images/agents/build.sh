#!/bin/sh
# Makes an image with agents in it, as a tar that `helix-sandbox image import` takes.
set -eu

usage() {
    cat <<USAGE
usage: build.sh [--agents "PACKAGE…"] [--node ARCHIVE] [--mirror URL] [--suite SUITE] OUTPUT.tar

Makes the root file system of a sandbox from Debian's packages (see \`packages\`) with Node.js, npm
and agents of npm, and writes it to OUTPUT.tar. Runs as root, or as a user with subordinate ids;
what it installs by npm, this machine's npm loads.

  --agents "…"    these packages of npm, with versions if wanted; "" for none, which leaves their
                  installation to the sandboxes that use them
  --node ARCHIVE  Node.js from its archive for Linux (node-v22….tar.xz) instead of Debian's
  --mirror URL    takes Debian's packages from there
  --suite SUITE   Debian's release (trixie); not older than the sandbox host's own, whose
                  helix-sandbox runs in the sandbox with the image's libraries

Then, on a sandbox host:
  helix-sandbox image import OUTPUT.tar agents
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
agents='opencode-ai @qwen-code/qwen-code @zed-industries/codex-acp @zed-industries/claude-code-acp'
node='' mirror='' suite=trixie output=''
while [ $# -gt 0 ]; do
    case $1 in
        --agents) agents=$2; shift 2 ;;
        --node) node=$2; shift 2 ;;
        --mirror) mirror=$2; shift 2 ;;
        --suite) suite=$2; shift 2 ;;
        -h | --help) usage; exit ;;
        -*) usage >&2; exit 2 ;;
        *) output=$1; shift ;;
    esac
done
[ -n "$output" ] || { usage >&2; exit 2; }
missing() {
    echo "build.sh: $1 is missing (Debian: apt-get install $1)" >&2
    exit 1
}
command -v mmdebstrap >/dev/null || missing mmdebstrap
if [ -n "$agents" ]; then
    command -v npm >/dev/null || missing npm
fi

packages=$(grep -v '^#' "$here/packages" | tr '\n' ',')
[ -n "$node" ] || packages="${packages}npm,"
set -- --variant=minbase --include="${packages%,}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id" "$1/etc/hostname"'
if [ -n "$node" ]; then
    [ -f "$node" ] || { echo "build.sh: there is no $node" >&2; exit 1; }
    node=$(cd "$(dirname "$node")" && pwd)/$(basename "$node")
    set -- "$@" --customize-hook="tar -xf '$node' --strip-components=1 -C \"\$1/usr/local\""
fi
if [ -n "$agents" ]; then
    # opencode's program comes by its installation script.
    set -- "$@" --customize-hook="npm install --global --prefix \"\$1/usr/local\" \
        --no-audit --no-fund --allow-scripts=opencode-ai $agents"
fi
if [ -n "$mirror" ]; then
    mmdebstrap "$@" "$suite" "$output" "$mirror"
else
    mmdebstrap "$@" "$suite" "$output"
fi
echo "$output is there: helix-sandbox image import $output agents"
