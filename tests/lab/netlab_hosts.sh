#!/usr/bin/env bash
# How the lab and its hosts are made; a part of netlab.sh, which says what they are.
# shellcheck disable=SC2016 # texts in single quotes are for another shell

# --- the lab ---

up() {
  [ "$(id -u)" = 0 ] || lack "the lab needs root"
  need ip unshare nsenter setpriv setsid pivot_root ssh sshd ssh-keygen
  [ $# -gt 0 ] || set -- nas gpu
  mkdir -p "$NETLAB"; NETLAB=$(readlink -f "$NETLAB")
  [ ! -e "$NETLAB/hosts" ] || die "$NETLAB is in use"
  chmod 700 "$NETLAB"
  mkfifo "$NETLAB/requests"
  unshare --pid --fork --mount --net true 2>/dev/null || lack "no namespaces can be made here"
  # Who started this ends, and so does the lab, even if nobody is left to say so.
  exec setpriv --pdeathsig KILL -- unshare --fork --kill-child=KILL --pid --mount --net \
    --propagation private -- "$BASH" "$ME" __lab "$@"
}

lab() { # the lab's first process: it builds, then starts and reaps what the commands ask for
  local pid words
  trap 'echo "netlab: failed: $BASH_COMMAND" >&2' ERR
  read -r pid _ </proc/self/stat; echo "$pid" >"$NETLAB/pid"
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir /run/sshd "$NETLAB/ram"; mount -t tmpfs -o mode=755 tmpfs "$NETLAB/ram"
  mkdir -p "$NETLAB"/ram/try/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=/,upperdir=$NETLAB/ram/try/upper,workdir=$NETLAB/ram/try/work" \
    "$NETLAB/ram/try/root" 2>/dev/null || lack "no overlay file system here"
  ip link set lo up
  ip link add br0 type bridge mcast_snooping 0 2>/dev/null || lack "no network bridge in this kernel"
  ip link set br0 up
  ssh-keygen -q -t ed25519 -N '' -C netlab -f "$NETLAB/key"
  local n=0 h
  for h; do n=$((n + 1)); mkdir -p "$NETLAB/$h"; echo $n >"$NETLAB/$h/number"; echo "$h" >>"$NETLAB/hosts"; done
  local makers=()
  for h; do { wire "$h"; make_root "$h"; make_home "$h"; } & makers+=($!); done
  for pid in "${makers[@]}"; do wait "$pid" || exit; done
  exec 8<>"$NETLAB/requests"
  for h; do start_host "$h" 1; done
  for h; do wait_booted "$h"; done
  trust
  echo ready
  trap - ERR; set +e
  while read -ra words <&8; do
    case ${words[0]} in
      boot) start_host "${words[@]:1}" ;;
      wan) start_wan "${words[@]:1}" ;;
      unwan) kill "$WAN_PID" && wait "$WAN_PID" ;;
    esac
  done
}

start_wan() { # in the lab's first process
  ip netns exec "$1" true # fails early, with a message
  "$NETLAB/wan_emulator" "/run/netns/$1" wan0 "/run/netns/$2" wan0 "$3" "$4" 1024 >"$NETLAB/wan.log" 2>&1 &
  WAN_PID=$!
}

wire() { # a host's network namespace, its card and its port on the switch
  local h=$1 n f; n=$(number "$h")
  ip netns add "$h"
  ip link add "p$n" type veth peer name eth0 netns "$h" 2>/dev/null || lack "no veth devices in this kernel"
  ip link set "p$n" master br0 up
  for f in lo eth0; do ip -n "$h" link set $f up; done
  ip -n "$h" addr add "$NET4.$n/24" dev eth0
  ip -n "$h" addr add "$NET6:$n/64" dev eth0 nodad
}

make_root() { # what the host's root has of its own
  local h=$1 r=$NETLAB/ram/$1 e f n
  mkdir -p "$r/upper" "$r/work" "$r/root"; cd "$r/upper" || exit
  mkdir -p etc/lab home/lab run tmp usr/sbin usr/bin root
  chmod 755 root
  for f in passwd group shadow; do sed '/^lab:/d' "/etc/$f" >"etc/$f"; done
  chmod 600 etc/shadow
  echo 'lab:x:20001:20001:lab:/home/lab:/bin/bash' >>etc/passwd
  echo 'lab:x:20001:' >>etc/group
  echo 'lab:*:19000:0:99999:7:::' >>etc/shadow
  printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n' >etc/hosts
  for e in $(all_hosts); do
    n=$(number "$e"); printf '%s %s\n' "$NET4.$n" "$e" "$NET6:$n" "$e-v6" "$WAN4.$n" "$e-wan"
  done >>etc/hosts
  echo "$h" >etc/hostname
  ssh-keygen -q -t ed25519 -N '' -C "$h" -f "$NETLAB/$h/hostkey"
  cp "$NETLAB/$h/hostkey" "$NETLAB/$h/hostkey.pub" etc/lab/
  : >etc/lab/sshd_extra
  printf '%s\n' 'Include /etc/lab/sshd_extra' 'Port 22' 'HostKey /etc/lab/hostkey' 'PidFile none' 'UsePAM no' \
    'PasswordAuthentication no' 'KbdInteractiveAuthentication no' 'AuthorizedKeysFile .ssh/authorized_keys' \
    'Subsystem sftp internal-sftp' 'LogLevel VERBOSE' 'MaxStartups 100' 'PrintMotd no' >etc/lab/sshd_config
  # From version 9.8 on, sshd shuts out for a while who failed to log in, which tests do on purpose.
  ! sshd -t -f /dev/null -h "$PWD/etc/lab/hostkey" -o 'PerSourcePenalties no' 2>/dev/null ||
    echo 'PerSourcePenalties no' >>etc/lab/sshd_config
  stand_ins
  ln -s "$(command -v busybox || echo /nowhere)" etc/lab/ash # its name says what busybox is
}

stand_ins() { # nothing on a host may switch the machine off; systemd is as if it did not run
  local f
  cat >etc/lab/stand_in <<'C'
#!/bin/sh
name=${0##*/}
{ printf '%s\t%s\t%s' "$(date +%s.%N)" "$(id -un)" "$name"; [ $# = 0 ] || printf '\t%s' "$@"; echo; } >>/run/lab/asked
if [ -e /run/lab/obeys ]; then
  case "$name $*" in
    'shutdown '*now* | poweroff* | halt* | 'systemctl '*poweroff*) echo poweroff >/run/lab/power ;;
  esac
fi
case "$name $*" in
  'systemctl '*poweroff* | 'systemctl '*reboot* | 'systemctl '*halt* | 'systemctl '*suspend*) exit 0 ;;
  systemd-run* | loginctl* | systemctl*) exit 1 ;;
esac
exit 0
C
  chmod 755 etc/lab/stand_in
  mkdir -p ".$(readlink -f /sbin)" ".$(readlink -f /bin)"
  for f in shutdown reboot poweroff halt; do ln -sf /etc/lab/stand_in ".$(readlink -f /sbin)/$f"; done
  for f in systemctl loginctl; do ln -sf /etc/lab/stand_in ".$(readlink -f /bin)/$f"; done
  ln -sf /etc/lab/stand_in usr/bin/systemd-run
}

make_home() { # an empty home with the lab's key; an image if the host has a disk
  local h=$1 d=$NETLAB/$1 size
  size=$(for e in ${DISKS:-}; do [ "${e%=*}" != "$h" ] || echo "${e#*=}"; done)
  mkdir "$d/home"; : >"$d/asked"; chmod 666 "$d/asked"
  if [ -n "$size" ]; then
    need mkfs.ext4 python3
    truncate -s "${size}M" "$d/disk"; mkfs.ext4 -q -F -m 0 "$d/disk"
    mount -o loop "$d/disk" "$d/home" 2>/dev/null || lack "no loop devices here"
  fi
  mkdir -m 700 "$d/home/.ssh"; cp "$NETLAB/key.pub" "$d/home/.ssh/authorized_keys"
  [ "$(number "$h")" != 1 ] || cp "$NETLAB/key" "$d/home/.ssh/id_ed25519"
  chown -R 20001:20001 "$d/home"; chmod 755 "$d/home"; chmod 600 "$d/home/.ssh"/*
  [ -z "$size" ] || umount "$d/home"
}

# --- a host ---

start_host() { # start_host HOST UPTIME: start its first process, as a child of the lab's
  local h=$1 d=$NETLAB/$1 clocks=() now
  [ -p "$d/booted" ] || mkfifo "$d/booted"
  read -r now _ </proc/uptime
  if [ -e /proc/self/ns/time ]; then
    now=$((${2:-1} - ${now%.*})); clocks=(--time --boottime "$now" --monotonic "$now")
  fi
  # The fifo is held open for writing and reading, so that neither side has to wait for the other.
  nsenter --net="/run/netns/$h" -- setsid unshare --fork --kill-child=KILL --pid --mount --uts "${clocks[@]}" \
    "$BASH" "$ME" __host "$h" >>"$d/console" 2>&1 </dev/null 8<>"$d/booted" &
}
wait_booted() {
  local h=$1 d=$NETLAB/$1 pid
  exec 7<>"$d/booted"
  read -r -t 20 pid <&7 && [ "$pid" != failed ] || { tail -n 5 "$d/console" >&2; die "host $h did not start"; }
  exec 7>&-
  echo "$pid $(start_of "$pid")" >"$d/pid"
}

host() { # a host's first process, still in the lab's root and /proc
  local h=$1 d=$NETLAB/$1 r=$NETLAB/ram/$1 pid word
  trap 'echo failed >&8' EXIT
  read -r pid _ </proc/self/stat
  hostname "$h"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$r/upper,workdir=$r/work" "$r/root"
  cd "$r/root" || exit
  mount -t proc proc proc
  cat /proc/sys/kernel/random/uuid >"$r/boot_id"
  mount --bind "$r/boot_id" proc/sys/kernel/random/boot_id
  mount --rbind /dev dev; mount -t sysfs sysfs sys; mount --rbind /sys/fs/cgroup sys/fs/cgroup
  mount -t tmpfs -o mode=1777 tmpfs tmp; mount -t tmpfs -o mode=1777 tmpfs dev/shm
  mount -t tmpfs -o mode=755 tmpfs run; mkdir run/sshd run/lab run/old
  if [ -e "$d/disk" ]; then mount -o "loop${DISK_OPTIONS:+,$DISK_OPTIONS}" "$d/disk" home/lab
  else mount --bind "$d/home" home/lab; fi
  : >run/lab/asked; mount --bind "$d/asked" run/lab/asked
  keep_folders
  pivot_root . run/old; cd /; umount -l /run/old; rmdir /run/old
  mkfifo -m 600 /run/lab/power; exec 9<>/run/lab/power
  sshd -t -f /etc/lab/sshd_config
  "$(command -v sshd)" -D -e -f /etc/lab/sshd_config 8>&- 9>&- & echo $! >/run/lab/sshd.pid
  wait_for 10 listening
  trap - EXIT; echo "$pid" >&8; exec 8>&-
  while read -r word <&9; do # the shell reaps orphans meanwhile
    [ "$word" != poweroff ] || { ip link set eth0 down; exit 0; }
  done
}
keep_folders() { # show the folders of KEEP, and let everybody reach them
  local f p; local IFS=:
  for f in ${KEEP:-}; do
    p=${f%/*}; mkdir -p ".$f"
    while [ -n "$p" ]; do chmod a+rx ".$p"; p=${p%/*}; done
    mount --rbind "$f" ".$f"; mount -o remount,bind,ro ".$f"
  done
}
listening() { grep -q ':0016 [0-9A-F]*:0000 0A' /proc/net/tcp; }
