#!/usr/bin/env bash
# netlab: a throwaway lab of small "hosts" on one Linux machine.
#
# The lab is one process tree in a network, pid and mount namespace of its own: when its first
# process ends, for whatever reason, every host, link, mount and loop device goes with it. No
# packet can leave, for no link leads out of the lab's network namespace.
#
# Every host has its own network, pid, mount, UTS and time namespace and its own sshd. Its root is
# an overlay over the machine's, so that it may change any file and the machine sees nothing of it.
# /home/lab and what was changed survive a reboot; /tmp, /run, the boot id and the uptime do not.
# shutdown, reboot, systemctl and the like are stand-ins that write down what they were asked.
#
# Needs: Linux, root (CAP_SYS_ADMIN), bash, iproute2, util-linux, OpenSSH (server and client).
# Optional, named when missing: nft (loss, reset), netem (delay), e2fsprogs, loop devices and
# python3 (disks, power cuts), a C compiler and /dev/net/tun (wan).
#
#   netlab.sh up [HOST...]      run the lab in the foreground; it prints "ready" (hosts: nas gpu)
#   netlab.sh as HOST CMD...    run a command on a host as user lab
#   netlab.sh sh HOST CMD...    run a command on a host as root
#   netlab.sh cut HOST | heal HOST           the cable is pulled at the host's own card
#   netlab.sh hole HOST | unhole HOST        packets vanish in the switch, no RST
#   netlab.sh part HOST... | unpart HOST...  these hosts see only the others
#   netlab.sh reset HOST | unreset HOST      the host answers all TCP with RST
#   netlab.sh drop HOST                      its TCP connections end with RST, once
#   netlab.sh loss HOST PERCENT              random loss (0 = none)
#   netlab.sh rate HOST RATE                 limit, such as 1mbit (0 = none)
#   netlab.sh delay HOST ARGS...             netem, such as 80ms 20ms (0 = none)
#   netlab.sh wan HOST HOST MS MBIT          a second line between the two: NAME-wan
#   netlab.sh unwan                          take it away
#   netlab.sh poweroff HOST | boot HOST [UPTIME] | reboot HOST [UPTIME]
#   netlab.sh powercut HOST                  poweroff that loses what was not fsynced (a disk)
#   netlab.sh freeze HOST | thaw HOST        SIGSTOP, SIGCONT to all of a host
#   netlab.sh sessions HOST                  kill the sshd processes that serve a client
#   netlab.sh sshd HOST [LINE...]            further sshd_config lines (none: as at first)
#   netlab.sh rekey HOST                     a new host key, as a wrong host has
#   netlab.sh trust                          all hosts learn the keys of all hosts
#   netlab.sh shell HOST PATH                login shell of user lab
#   netlab.sh hide HOST PROGRAM... | unhide HOST PROGRAM...
#   netlab.sh ip HOST | pid HOST
# Environment: NETLAB = the lab's folder (for `up`: a new or empty one). For `up` also:
#   DISKS="gpu=24 ..." makes a host's /home/lab an ext4 image of so many MiB, mounted with
#   DISK_OPTIONS; KEEP="dir:dir" shows further folders of the machine, read-only, on each host.
# Exit status 77: this machine lacks what is needed, and the message names it.
# shellcheck disable=SC2016 # texts in single quotes are for another shell
set -eu
PATH=$PATH:/usr/sbin:/sbin
ME=$(readlink -f "$0")
NET4=192.0.2 NET6=fd00:6e61:7365:7870: WAN4=198.18.0

die() { echo "netlab: $*" >&2; exit 1; }
lack() { echo "netlab: $*" >&2; exit 77; }
need() { local c; for c; do command -v "$c" >/dev/null || lack "$c is missing"; done; }
number() { cat "$NETLAB/$1/number"; }
all_hosts() { cat "$NETLAB/hosts"; }

start_of() { # start time of a process in clock ticks; empty when it has ended
  local s
  { s=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
  read -ra s <<<"${s##*) }"
  [ "${s[0]}" = Z ] || echo "${s[19]}"
}
pid_of() { # pid of a host's first process, as the machine counts
  local pid start
  [ -s "$NETLAB/$1/pid" ] && read -r pid start <"$NETLAB/$1/pid" && [ "$(start_of "$pid")" = "$start" ] || return 1
  echo "$pid"
}
up_pid() { pid_of "$1" || die "host $1 is down"; }
down_or_die() { if pid_of "$1" >/dev/null; then die "host $1 is up"; fi; }
request() { echo "$*" >"$NETLAB/requests"; }
wait_for() { # wait_for SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.01; done
}

# shellcheck source-path=SCRIPTDIR
# shellcheck source=netlab_hosts.sh
. "${ME%/*}/netlab_hosts.sh"

# --- power ---

port() { # port HOST on|off
  local p; p=p$(number "$1")
  if [ "$2" = off ]; then ip link set "$p" nomaster; return; fi
  ip link set "$p" master br0
  [ ! -e "$NETLAB/$1/parted" ] || ip link set "$p" type bridge_slave isolated on # went with the port
}
gone() { [ -z "$(start_of "$1")" ]; }
poweroff() { # all its processes end at once; its peers get no FIN and no RST
  local pid; pid=$(up_pid "$1")
  port "$1" off; kill -KILL "$pid"; wait_for 20 gone "$pid" || die "host $1 does not end"
  rm -f "$NETLAB/$1/pid"
}
no_loop() { [ -z "$(losetup -j "$NETLAB/$1/disk")" ]; }
boot() { # boot HOST [UPTIME]
  down_or_die "$1"
  # One image mounted twice would be destroyed: the last boot must have let go of it.
  if [ -e "$NETLAB/$1/disk" ]; then wait_for 20 no_loop "$1" || die "the disk of $1 is still in use"; fi
  port "$1" on; heal "$1"; request boot "$1" "${2:-1}"; wait_booted "$1"
}
powercut() {
  local pid; [ -e "$NETLAB/$1/disk" ] || die "host $1 has no disk of its own"
  pid=$(up_pid "$1"); port "$1" off
  # EXT4_IOC_SHUTDOWN without a flush of the log
  python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))' "/proc/$pid/root/home/lab"
  poweroff "$1"
}
# --- faults ---

in_host() { # in_host HOST USER COMMAND...
  local h=$1 u=$2 pid; shift 2; pid=$(up_pid "$h")
  if [ "$u" = lab ]; then
    nsenter -t "$pid" -a -S 20001 -G 20001 --wdns=/home/lab env -i HOME=/home/lab USER=lab LOGNAME=lab \
      PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 "$@"
  else nsenter -t "$pid" -a --wdns=/ "$@"; fi
}
heal() {
  ip -n "$1" link set eth0 up
  ip -n "$1" addr add "$NET6:$(number "$1")/64" dev eth0 nodad 2>/dev/null || : # went with the link
  settle
}
settle() { # forget failed look-ups of neighbours: what was mended works at once
  local h; for h in $(all_hosts); do ip -n "$h" neigh flush all; done
}
part() { local h; for h; do : >"$NETLAB/$h/parted"; port "$h" on; done; }
unpart() { local h; for h; do rm -f "$NETLAB/$h/parted"; ip link set "p$(number "$h")" type bridge_slave isolated off; done; settle; }
reset() {
  need nft
  ip netns exec "$1" nft 'add table inet rs; add chain inet rs i { type filter hook input priority 0; }
    add rule inet rs i iifname "eth0" meta l4proto tcp reject with tcp reset' || lack "nft cannot reset connections here"
}
unreset() { ! command -v nft >/dev/null || ip netns exec "$1" nft delete table inet rs 2>/dev/null || :; }
loss() {
  local t match=; t=t$(number "$1")
  [ "$2" = 0 ] || need nft
  ! command -v nft >/dev/null || nft delete table bridge "$t" 2>/dev/null || :
  settle
  case $2 in 0) return ;; 100) ;; *) match="numgen random mod 100 < $2" ;; esac
  nft "add table bridge $t; add chain bridge $t f { type filter hook forward priority 0; }
    add rule bridge $t f iifname p${t#t} $match drop
    add rule bridge $t f oifname p${t#t} $match drop" || lack "nft cannot lose packets here"
}
rate() {
  local p; p=p$(number "$1")
  tc qdisc del dev "$p" root 2>/dev/null || :; tc -n "$1" qdisc del dev eth0 root 2>/dev/null || :
  [ "$2" != 0 ] || return 0
  tc qdisc add dev "$p" root tbf rate "$2" burst 32kbit latency 400ms || lack "no tbf in this kernel"
  tc -n "$1" qdisc add dev eth0 root tbf rate "$2" burst 32kbit latency 400ms
}
delay() {
  local h=$1 p; shift; p=p$(number "$h"); tc qdisc del dev "$p" root 2>/dev/null || :
  [ "$1" = 0 ] || tc qdisc add dev "$p" root netem delay "$@" 2>/dev/null || lack "no netem in this kernel"
}
wan() {
  [ -e /dev/net/tun ] || lack "/dev/net/tun is missing"
  if [ ! -x "$NETLAB/wan_emulator" ]; then
    need cc; cc -O2 -o "$NETLAB/wan_emulator" "${ME%/*}/wan_emulator.c"
  fi
  unwan; request wan "$@"; wait_for 10 grep -q ready "$NETLAB/wan.log" || die "wan: $(<"$NETLAB/wan.log")"
  local a b; a=$(number "$1") b=$(number "$2")
  ip -n "$1" addr add "$WAN4.$a" peer "$WAN4.$b" dev wan0; ip -n "$2" addr add "$WAN4.$b" peer "$WAN4.$a" dev wan0
  ip -n "$1" link set wan0 mtu 1500 up; ip -n "$2" link set wan0 mtu 1500 up
}
no_wan() { local h; for h in $(all_hosts); do ! ip -n "$h" link show wan0 >/dev/null 2>&1 || return 1; done; }
unwan() { if ! no_wan; then request unwan; wait_for 10 no_wan; fi; : >"$NETLAB/wan.log"; }
sessions() { # each is a process of root, and, after the login, one of the user below it
  in_host "$1" root sh -c 'for pid in $(pgrep -P "$(cat /run/lab/sshd.pid)"); do
    pkill -KILL -P "$pid" "^sshd"; kill -KILL "$pid"; done 2>/dev/null; :'
}
starts() { grep -c 'Server listening' "$NETLAB/$1/console" || :; }
started_again() { [ "$(starts "$1")" -gt "$2" ]; }
reload() { local n; n=$(starts "$1"); in_host "$1" root sh -c 'kill -HUP "$(cat /run/lab/sshd.pid)"'; wait_for 10 started_again "$1" "$n"; }
sshd_lines() {
  local h=$1; shift
  printf '%s\n' "$@" | in_host "$h" root tee /etc/lab/sshd_extra >/dev/null
  in_host "$h" root sshd -t -f /etc/lab/sshd_config; reload "$h"
}
rekey() {
  local d=$NETLAB/$1 f
  rm "$d/hostkey" "$d/hostkey.pub"
  ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$d/hostkey"
  for f in hostkey hostkey.pub; do in_host "$1" root tee "/etc/lab/$f" <"$d/$f" >/dev/null; done
  reload "$1"
}
trust() {
  local h n pid
  for h in $(all_hosts); do
    n=$(number "$h"); echo "$h,$h-v6,$h-wan,$NET4.$n,$NET6:$n,$WAN4.$n $(cut -d' ' -f1,2 "$NETLAB/$h/hostkey.pub")"
  done >"$NETLAB/known_hosts"
  for h in $(all_hosts); do
    if pid=$(pid_of "$h"); then cp "$NETLAB/known_hosts" "/proc/$pid/root/home/lab/.ssh/known_hosts"; fi
  done
}
hide() { # hide MARK_BEFORE MARK_AFTER HOST PROGRAM...: rename, wherever it lies
  local from=$1 to=$2 h=$3; shift 3
  in_host "$h" root sh -c 'from=$1 to=$2; shift 2
    for name; do for d in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
      if [ -e "$d/$name$from" ]; then mv "$d/$name$from" "$d/$name$to"; fi; done; done' sh "$from" "$to" "$@"
}

cmd=${1:-help}; shift || :
case $cmd in
  help) sed -n '2,/^# shellcheck/p' "$ME" | sed '$d'; exit ;;
  up) export NETLAB=${NETLAB:-$(mktemp -d "${TMPDIR:-/tmp}/netlab.XXXXXX")}; up "$@" ;;
  __lab) lab "$@"; exit ;;
  __host) host "$@"; exit ;;
esac
[ -s "${NETLAB:-/nowhere}/pid" ] || die "NETLAB names no lab"
if [ -z "${IN_LAB:-}" ]; then # all commands run among the lab's links and mounts
  IN_LAB=1 exec nsenter -t "$(<"$NETLAB/pid")" -m -n -- "$BASH" "$ME" "$cmd" "$@"
fi
unset IN_LAB
case $cmd in
  as) h=$1; shift; in_host "$h" lab "$@" ;;
  sh) h=$1; shift; in_host "$h" root "$@" ;;
  cut) ip -n "$1" link set eth0 down ;;
  hole) port "$1" off ;;
  unhole) port "$1" on; settle ;;
  heal | part | unpart | reset | unreset | loss | rate | delay | wan | unwan | poweroff | powercut | boot | sessions | rekey | trust) "$cmd" "$@" ;;
  reboot) poweroff "$1"; boot "$@" ;;
  drop) need ss; ip netns exec "$1" ss -K state established >/dev/null ;;
  freeze) in_host "$1" root sh -c 'kill -STOP -1' ;;
  thaw) in_host "$1" root sh -c 'kill -CONT -1' ;;
  sshd) sshd_lines "$@" ;;
  shell) in_host "$1" root sed -i "s#^\\(lab:.*:\\)[^:]*\$#\\1$2#" /etc/passwd ;;
  hide) hide '' .hidden "$@" ;;
  unhide) hide .hidden '' "$@" ;;
  ip) echo "$NET4.$(number "$1")" ;;
  pid) up_pid "$1" ;;
  *) die "unknown command $cmd" ;;
esac
