#!/usr/bin/env bash
# Makes this machine ready for `make demo`, `make test` or `make e2e`: checks what it can't install, installs what it can.
# Quiet when there is nothing to do; safe to repeat and to run several times at once.
#
#   tools/prepare.sh [demo|test|e2e]    demo by default; see tools/assets.sh
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

purpose=${1:-demo}

say() { echo "prepare: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

[[ $(uname -s) == Linux ]] || fail "btrfs needs Linux; this is $(uname -s)"
[[ $(id -u) == 0 ]] || fail "run it as root: it attaches loop devices and mounts file systems (sudo make …)"

check_kernel() {
  grep -qw btrfs /proc/filesystems || modprobe btrfs 2>/dev/null || true
  grep -qw btrfs /proc/filesystems || fail "the kernel has no btrfs; load the module btrfs or use a kernel that has it"
  [[ -e /dev/loop-control ]] || modprobe loop 2>/dev/null || true
  [[ -e /dev/loop-control ]] || fail "the kernel has no loop devices (/dev/loop-control); load the module loop"
}

check_node() {
  command -v node >/dev/null && command -v npm >/dev/null ||
    fail "Node.js 18 or newer with npm is needed to install the rest (Debian: apt-get install nodejs npm)"
}

# command or file, Debian package that has it
needed_commands=(
  "btrfs btrfs-progs" "mkfs.btrfs btrfs-progs"
  "mkfs.ext4 e2fsprogs" "chattr e2fsprogs"
  "losetup mount" "mount mount"
  "findmnt util-linux" "flock util-linux" "fsfreeze util-linux" "setpriv util-linux" "unshare util-linux"
  "setfattr attr" "setfacl acl" "ps procps" "lua5.4 lua5.4"
)
needed_for_e2e=(
  "buildah buildah" "debootstrap debootstrap" # make the image
  "gcc gcc" "pkg-config pkg-config" "/usr/include/seccomp.h libseccomp-dev" # build runc
  "ip iproute2" "iptables iptables" "conntrack conntrack" "/usr/lib/cni/bridge containernetworking-plugins" # join nodes and pods
)
[[ $purpose == demo ]] || needed_commands+=("strace strace") # which devices the tools open
[[ $purpose != e2e ]] || needed_commands+=("${needed_for_e2e[@]}")

is_there() { # command or file
  if [[ $1 == /* ]]; then [[ -e $1 ]]; else command -v "$1" >/dev/null; fi
}

install_packages() {
  local packages=() entry command package
  for entry in "${needed_commands[@]}"; do
    read -r command package <<<"$entry"
    is_there "$command" || packages+=("$package")
  done
  ((${#packages[@]})) || return 0
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
  command -v apt-get >/dev/null || fail "these packages (as Debian names them) are missing: ${packages[*]}"
  say "installing Debian packages: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -qq -y --no-install-recommends "${packages[@]}" </dev/null >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${packages[@]}" </dev/null >/dev/null; } ||
    fail "apt-get could not install ${packages[*]}"
}

# What is installed is what the lock file says; packages for other platforms are optional and absent.
modules_match_lock() {
  [[ -e node_modules/.package-lock.json ]] && node -e '
    const fs = require("fs");
    const read = (file) => JSON.parse(fs.readFileSync(file, "utf8")).packages;
    const installed = read("node_modules/.package-lock.json");
    const same = ([name, { version, optional }]) =>
      name === "" || (installed[name] ? installed[name].version === version : optional === true);
    process.exit(Object.entries(read("package-lock.json")).every(same) ? 0 : 1);'
}

node_runs() { [[ $(node_modules/.bin/node --version 2>/dev/null) == v24.* ]]; }

# The npm package `node` fetches the binary in its install script, which npm may have been told not to run.
install_modules() {
  modules_match_lock && node_runs && return
  if ! modules_match_lock; then
    say "installing npm packages"
    # npm 11 refuses a lock file that lacks optional packages of other platforms; an install takes it, with the same versions.
    npm ci --no-audit --no-fund --loglevel=silent </dev/null >&2 ||
      npm install --no-save --no-audit --no-fund --loglevel=error </dev/null >&2 || fail "npm could not install the packages"
  fi
  node_runs || (cd node_modules/node && node installArchSpecificPackage.js </dev/null >&2) || true
  node_runs || fail "node_modules/.bin/node is not Node 24; remove node_modules and try again"
}

check_kernel
check_node
install_packages
exec 8<package-lock.json
flock 8
install_modules 8<&-
exec 8<&-
tools/assets.sh "$purpose" >/dev/null
