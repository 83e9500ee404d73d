#!/bin/sh
# Makes the image of a desktop, as a tar that `helix-sandbox image import` takes.
set -eu

usage() {
    cat <<USAGE
usage: build.sh [--zed ARCHIVE] [--packages FILE] [--mirror URL] [--suite SUITE] OUTPUT.tar

Makes the root file system of a sandbox with a desktop from Debian's packages (see
\`packages\`), and writes it to OUTPUT.tar. Runs as root, or as a user with subordinate ids.

  --zed ARCHIVE   adds the editor Zed from its archive for Linux (zed-linux-x86_64.tar.gz)
  --packages FILE another list of packages than \`packages\`
  --mirror URL    takes the packages from there; from deb.debian.org unless given
  --suite SUITE   Debian's release (trixie); take the one of the sandbox host or a later one:
                  its helix-media runs in the sandbox with the image's libraries

Then, on a sandbox host:
  helix-sandbox image import OUTPUT.tar desktop-sway
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
zed='' packages=$here/packages mirror='' suite=trixie output=''
while [ $# -gt 0 ]; do
    case $1 in
        --zed) zed=$2; shift 2 ;;
        --packages) packages=$2; shift 2 ;;
        --mirror) mirror=$2; shift 2 ;;
        --suite) suite=$2; shift 2 ;;
        -h | --help) usage; exit ;;
        -*) usage >&2; exit 2 ;;
        *) output=$1; shift ;;
    esac
done
[ -n "$output" ] || { usage >&2; exit 2; }
command -v mmdebstrap >/dev/null || {
    echo 'build.sh: mmdebstrap is missing (Debian: apt-get install mmdebstrap)' >&2
    exit 1
}
for file in "$packages" ${zed:+"$zed"}; do
    if [ ! -f "$file" ]; then
        echo "build.sh: there is no $file" >&2
        exit 1
    fi
done
include=$(grep -v '^#' "$packages" | tr '\n' ',')
if [ -n "$zed" ]; then
    # Its folder is zed.app, or another for another of its channels.
    app=$(tar -tzf "$zed" | sed -n 's|^\([^/]*\)/bin/zed$|\1|p')
    if [ -z "$app" ]; then
        echo "build.sh: $zed is no archive of Zed for Linux: nothing in it is …/bin/zed" >&2
        exit 1
    fi
    # It draws by Vulkan: here by the processor.
    include=${include}libvulkan1,mesa-vulkan-drivers,
fi
set -- --variant=minbase --include="${include%,}" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="copy-in '$here/files/etc' /" \
    --customize-hook='chroot "$1" sed -i "s/^# en_US.UTF-8/en_US.UTF-8/" /etc/locale.gen' \
    --customize-hook='chroot "$1" locale-gen' \
    --customize-hook='printf "LANG=en_US.UTF-8\n" > "$1/etc/default/locale"' \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id" "$1/etc/hostname"'
if [ -n "$zed" ]; then
    zed=$(cd "$(dirname "$zed")" && pwd)/$(basename "$zed")
    set -- "$@" --customize-hook='mkdir -p "$1/opt"' \
        --customize-hook="tar -xzf '$zed' -C \"\$1/opt\"" \
        --customize-hook="printf '#!/bin/sh\nexport ZED_ALLOW_EMULATED_GPU=1\nexec /opt/$app/bin/zed \"\$@\"\n' > \"\$1/usr/local/bin/zed\"" \
        --customize-hook='chmod 755 "$1/usr/local/bin/zed"'
fi
if [ -n "$mirror" ]; then
    mmdebstrap "$@" "$suite" "$output" "$mirror"
else
    mmdebstrap "$@" "$suite" "$output"
fi
echo "$output is there: helix-sandbox image import $output desktop-sway"
