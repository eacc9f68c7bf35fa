#!/usr/bin/env bash
# Builds the image of the Dockerfile for `make e2e`, without a registry, and prints the directory that holds it and a plain
# Debian for test pods: btrfs-operator.tar and debian.tar. What the Dockerfile starts FROM is made here: Debian by
# debootstrap, and the build stage's image by adding the Node.js and npm of this machine. Cached by what goes in.
set -euo pipefail

repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$repository"

say() { echo "image: $*" >&2; }

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/btrfs-operator
suite=trixie
prefix=e2e.test
version=$(node -p 'require("./package.json").version')
key=$(cat tools/image.sh tools/bundle.ts Dockerfile .dockerignore package.json package-lock.json tsconfig.json LICENSE \
  <(find src -type f -print0 | LC_ALL=C sort -z | xargs -0 cat) | sha256sum | cut -c1-16)
images=$cache/images-$key
print_and_exit_when_built() {
  [[ -e $images/done ]] || return 0
  echo "$images"
  exit
}
print_and_exit_when_built
mkdir -p "$cache"
exec 9>"$cache/image.lock"
flock 9
# Whoever held the lock may have built the same: what he reads is not made anew.
print_and_exit_when_built
export BUILDAH_ISOLATION=chroot
run_dir=$(mktemp -d)
# What debootstrap had mounted in there when it was killed is the machine's.
trap 'rm -rf --one-file-system "$run_dir"' EXIT
in_store() { buildah --root "$store" --runroot "$run_dir" --storage-driver overlay "$@" 9>&-; }

has_image() { in_store inspect --type image "$1" >/dev/null 2>&1; }

# The mirror this machine installs from; none: debootstrap's own.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 /debian/ || true; }

make_debian() {
  say "making a Debian $suite with debootstrap: once, about 2 minutes"
  # shellcheck disable=SC2046 # no argument when there is none
  debootstrap --variant=minbase "$suite" "$run_dir/debian" $(mirror) >"$run_dir/debootstrap.log" 2>&1 ||
    { tail -5 "$run_dir/debootstrap.log" >&2; return 1; }
  rm -rf "$run_dir"/debian/{var/lib/apt/lists,var/cache/apt,usr/share/{doc,locale,man,info}}/* "$run_dir/debian/debootstrap"
  local container
  container=$(in_store from scratch)
  in_store add --quiet "$container" "$run_dir/debian" / >/dev/null
  # Without a command it does nothing, for ever: so it also serves as the image of pod sandboxes.
  in_store config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd 'sleep infinity' "$container"
  in_store commit --quiet --rm "$container" "$prefix/debian:13" >/dev/null
}

make_node() {
  local container npm
  container=$(in_store from "$prefix/debian:13")
  in_store add --quiet "$container" node_modules/node/bin/node /usr/local/bin/node >/dev/null
  npm=$(readlink -f "$(command -v npm)")
  in_store add --quiet "$container" "${npm%/bin/*}" /usr/local/lib/node_modules/npm >/dev/null
  in_store run "$container" ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
  in_store commit --quiet --rm "$container" "$prefix/node:24" >/dev/null
}

# npm with all its modules comes first: a distribution may keep them beside it, where the image's would not find them.
prefer_whole_npm() {
  local npm
  npm=$(readlink -f "$(command -v npm)")
  node_modules/.bin/node -e 'require(process.argv[1])' "${npm%/bin/*}/lib/commands/ci.js" 2>/dev/null && return
  say "fetching npm: the one of this machine has its modules elsewhere"
  npm install --prefix "$run_dir/npm" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error npm@11 >&2
  PATH=$run_dir/npm/node_modules/npm/bin:$PATH
}

# The bases stay for the next build, unless this script makes them otherwise or the Node.js is another one.
store=$cache/containers-overlay-$({ declare -f make_debian make_node && node_modules/.bin/node --version; } | sha256sum | cut -c1-16)
for old in "$cache"/containers-*; do [[ $old == "$store" ]] || rm -rf "$old"; done
has_image "$prefix/debian:13" || make_debian
has_image "$prefix/node:24" || { prefer_whole_npm; make_node; }
say "building the image of the Dockerfile"
# What this machine trusts, for registries that it reaches through a proxy.
{ cat "$(npm config get userconfig 2>/dev/null)" 2>/dev/null || true; echo cafile=/etc/ssl/certs/ca-certificates.crt; } >"$run_dir/npmrc"
in_store build --quiet --layers --build-arg "NODE_IMAGE=$prefix/node:24" --build-arg "DEBIAN_IMAGE=$prefix/debian:13" \
  --secret "id=npmrc,src=$run_dir/npmrc" --volume /etc/ssl/certs:/etc/ssl/certs:ro \
  --tag "$prefix/btrfs-operator:$version" . >"$run_dir/build.log" 2>&1 ||
  { tail -30 "$run_dir/build.log" >&2; exit 1; }
rm -rf "$cache"/images-*
mkdir -p "$images"
for name in "btrfs-operator:$version" debian:13; do
  in_store push --quiet "$prefix/$name" "docker-archive:$images/${name%:*}.tar:$prefix/$name" >/dev/null
done
touch "$images/done"
echo "$images"
