#!/bin/sh
# Stands in the agent's PATH under the name of one of its tools: counts and logs the command, does to it what `plan` says,
# or else just runs the real tool from the rest of the PATH. Everything it needs lies beside it, since the agent hands on
# no environment but PATH. It starts no process of its own before the tool: it runs some thousand times.

here=${0%/*} tool=${0##*/}
PATH=${PATH#*:}

case "$tool $*" in
'losetup --list'* | cat\ * | stat\ * | flock\ * | blkid\ * | 'btrfs --version'*) kind=reading ;;
'btrfs inspect-internal '* | 'btrfs subvolume show '* | 'btrfs subvolume list '*) kind=reading ;;
*) kind=changing ;;
esac

# Prints what the tool prints when the kernel refuses, and ends as it does then (util-linux 2.38, btrfs-progs 6.2, coreutils 9.1).
refuse() {
  for operand; do :; done
  case "$tool $*" in
  'losetup --find'*) set -- 1 "losetup: $operand: failed to set up loop device: Resource temporarily unavailable" ;;
  'losetup --detach'*) set -- 1 "losetup: $operand: detach failed: Device or resource busy" ;;
  'losetup --set-capacity'*) set -- 1 "losetup: $operand: set capacity failed: Device or resource busy" ;;
  losetup\ *) set -- 1 'losetup: failed to initialize: Cannot allocate memory' ;;
  mkfs.btrfs\ *) set -- 1 "ERROR: unable to open $operand: Device or resource busy" ;;
  mount\ *) set -- 32 "mount: $operand: mount(2) system call failed: Cannot allocate memory." ;;
  umount\ *) set -- 32 "umount: $operand: target is busy." ;;
  'btrfs filesystem resize '*) set -- 1 "ERROR: unable to resize '$operand': Device or resource busy" ;;
  'btrfs filesystem sync '*) set -- 1 'ERROR: sync ioctl failed on '"'$operand'"': Input/output error' ;;
  'btrfs filesystem label '*) set -- 1 "ERROR: unable to set label of '$4': Input/output error" ;;
  'btrfs subvolume create '*) set -- 1 'ERROR: cannot create subvolume: Cannot allocate memory' ;;
  'btrfs subvolume snapshot '*) set -- 1 "ERROR: cannot snapshot '$operand': Input/output error" ;;
  'btrfs subvolume delete '*) set -- 1 "ERROR: Could not destroy subvolume/snapshot: Input/output error" ;;
  'btrfs receive '*) set -- 1 "ERROR: receive: failed to write: Input/output error" ;;
  'btrfs balance start '*) set -- 1 "ERROR: error during balancing '$operand': Input/output error" ;;
  btrfs\ *) set -- 1 "ERROR: cannot open $operand: Cannot allocate memory" ;;
  cp\ * | mkdir\ * | mkfifo\ * | mv\ * | rm\ * | rmdir\ *) set -- 1 "$tool: '$operand': Input/output error" ;;
  chattr\ *) set -- 1 "chattr: Operation not supported while reading flags on $operand" ;;
  install\ *) set -- 1 "install: cannot create directory '$operand': Input/output error" ;;
  truncate\ *) set -- 1 "truncate: failed to truncate '$operand': Input/output error" ;;
  sync\ *) set -- 1 "sync: error syncing '$operand': Input/output error" ;;
  stat\ *) set -- 1 "stat: cannot statx '$operand': Input/output error" ;;
  flock\ *) set -- 65 "flock: $operand: Bad file descriptor" ;;
  *) set -- 1 "$tool: Cannot allocate memory" ;;
  esac
  echo "$2" >&2
  exit "$1"
}

# The parent is the agent, unless that has died by itself meanwhile.
kill_agent() {
  case $(tr '\0' ' ' <"/proc/$PPID/cmdline") in
  *' agent '*"--command-path=$here:"*) kill -KILL "$PPID" ;;
  esac
}

# The command that draws a planned number gets its fault; only those of a planned kind draw. A number goes to whom the kernel
# lets create its file: volumes are worked on in parallel.
fault=none drawn='' last=''
{
  read -r turn
  while read -r verb_id number planned verb; do
    case "$tool $* " in
    "$verb "*)
      if [ "$verb_id" != "$last" ]; then
        drawn=1 last=$verb_id
        until { set -C && true >"$here/.drawn.$turn.$verb_id.$drawn"; } 2>/dev/null; do drawn=$((drawn + 1)); done
      fi
      [ "$drawn" != "$number" ] || fault=$planned
      ;;
    esac
  done
} <"$here/.plan"
echo "$kind $fault $tool $*" >>"$here/.log.$turn"

case $fault in
kill-before)
  kill_agent
  exit 1
  ;;
kill-after)
  "$tool" "$@"
  kill_agent
  ;;
fail) refuse "$@" ;;
lie)
  "$tool" "$@" >/dev/null 2>&1
  refuse "$@"
  ;;
*) exec "$tool" "$@" ;;
esac
