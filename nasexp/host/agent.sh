#!/bin/sh
# The host agent of nasexp: starts a job, watches it, ends it. POSIX sh, nothing to install.
#
#   agent.sh launch RUN_FOLDER [SEGMENT]   start the job of this run, once, and return
#   agent.sh adopt RUN_FOLDER [SEGMENT]    watch a job that has lost its warden, and return
#
# Two processes keep a job. The runner, leader of a session of its own, starts the command and
# writes `ended`; its deputy holds the deadline where there is no warden. The warden beats, holds
# the deadline, obeys `cancel`, kills what is left and writes `exit`. Any may be killed: the files
# in RUN_FOLDER/segments/N still tell the truth. The first to make `start`, `reason` or `exit`
# wins. Times are uptimes in hundredths of a second.
#
# shellcheck disable=SC2086,SC2046 # what is not quoted is words: lines of our files, /proc, $sh
set -u
umask 077

# --- clocks and identities ---

# Uptime: no step of the wall clock moves it.
uptime_now() {
  read -r uptime _ </proc/uptime
  uptime=${uptime%.*}${uptime#*.}
}

# Set $ticks to the start time of a process, in clock ticks since boot; empty when it is gone.
# With the pid and the boot id it names one process for ever.
ticks_of() {
  ticks='' stat=''
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  set -- ${stat##*) }
  case $1 in Z | X) return 0 ;; esac
  shift 19
  ticks=$1
}

# alive PID TICKS BOOT: whether that very process lives.
alive() {
  [ "$3" = "$boot" ] || return 1
  ticks_of "$1"
  [ -n "$ticks" ] && [ "$ticks" = "$2" ]
}

# Set $self to who we are: pid, start ticks, boot id.
identify() {
  ticks_of $$
  self="$$ $ticks $boot"
}

# Set $line to the first line of a file; empty where it is missing.
first_line() {
  line=
  { read -r line <"$1"; } 2>/dev/null || :
}

spec() {
  while IFS='=' read -r key value; do
    [ "$key" = "$1" ] && printf '%s\n' "$value"
  done <"$run/spec"
}

# Who runs the command: told by `start`, which is made by the one who passed the gate; in the
# folders of an older agent by `runner`.
read_runner() {
  first_line "$segment/start"
  set -- ${line:--}
  started=$1
  first_line "$segment/runner"
  [ $# -ge 5 ] || set -- - - $line
  runner=${3:-none} runner_ticks=${4:-none} runner_boot=${5:-none}
  case $runner in *[!0-9]* | 0 | 1) runner=none ;; esac # what sessions of the system are called
}

runner_alive() { alive "$runner" "$runner_ticks" "$runner_boot"; }

# Whether a warden lives. Sets $warden, $newest to its file, $wardens to how many there were.
watched() {
  wardens=0 newest=$segment/warden
  while [ -e "$segment/warden${wardens#0}" ]; do
    newest=$segment/warden${wardens#0}
    wardens=$((wardens + 1))
  done
  first_line "$newest"
  set -- $line
  warden=${1:-none}
  alive "$warden" "${2:-none}" "${3:-none}"
}

wake_warden() {
  if watched; then kill -USR1 "$warden" 2>/dev/null; fi
}

# --- files ---

# Write a line to a new file and bring it to the disk. On a full disk the reserve makes room.
write_line() {
  printf '%s\n' "$2" | dd of="$1" conv=fsync 2>/dev/null && return 0
  [ -e "$run/reserve" ] || return 1
  rm -f "$run/reserve" && full=disk-full
  printf '%s\n' "$2" | dd of="$1" conv=fsync 2>/dev/null
}

# Make a file of one line that was not there: whole, on disk, and only if nobody was first.
make_once() {
  write_line "$1.$$" "$2" &&
    { ln "$1.$$" "$1" || (set -C && cat "$1.$$" >"$1"); } 2>/dev/null &&
    dd if=/dev/null of="$1" conv=notrunc,fsync 2>/dev/null # its name is on the disk too
  made=$?
  rm -f "$1.$$"
  return $made
}

# Replace a file of one line, whole.
replace() { write_line "$1.$$" "$2" && mv -f "$1.$$" "$1"; }

# --- starting ---

# Become a command in a session of its own, where the host can do that; to be called with `&`.
detached() {
  exec </dev/null >/dev/null 2>&1
  if command -v setsid >/dev/null; then exec setsid "$@"; fi
  trap '' HUP
  exec "$@"
}

# Whether the user's own service manager outlives the login, and answers.
has_scope() {
  [ -e "/var/lib/systemd/linger/$(id -un)" ] && command -v systemd-run >/dev/null || return 1
  export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
  systemd-run --user --scope --quiet --collect true </dev/null >/dev/null 2>&1
}

# Start a process of ours that outlives this login.
start_apart() {
  scope=
  if has_scope; then scope='systemd-run --user --scope --quiet --collect -p Delegate=yes --'; fi
  detached $scope $sh "$agent" "$@" &
}

launch() {
  for file in start ended exit; do [ ! -e "$segment/$file" ] || return 0; done
  if [ ! -d "$run/work" ] || [ ! -r "$run/command" ]; then
    echo 'the code or the command is missing' >&2
    exit 66
  fi
  mkdir -p "$segment" || exit 74
  if [ ! -e "$run/reserve" ]; then
    told=$(dd if=/dev/zero of="$run/reserve" bs=4096 count=16 conv=fsync 2>&1) || {
      rm -f "$run/reserve"
      printf '%s\n' "$told" >&2
      exit 74
    }
  fi
  start_apart launching "$run" "$number"
}

adopt() {
  if [ ! -e "$segment/exit" ]; then start_apart adopting "$run" "$number"; fi
}

# --- the warden ---

# Become the warden, unless one lives: of several who try, one makes the next file.
take_watch() {
  if watched; then return 1; fi
  identify
  uptime_now
  seen=$uptime
  make_once "$segment/warden${wardens#0}" "$self $(date +%s) $uptime"
}

warden() {
  take_watch || return 0
  trap 'wake=1' USR1
  [ "$verb" != launching ] || start_runner
  [ -e "$segment/start" ] || return 0 # no runner came that far: the gate stays open
  read_runner
  # What another boot started is over, and how it ended is not ours to say.
  [ "$runner_boot" = "$boot" ] || [ "$started" = - ] || return 0
  begin_rounds
  while [ -z "$why" ] && [ ! -e "$segment/ended" ]; do
    if runner_alive; then
      look_around
      [ -n "$why" ] || nap $rest
    elif [ ! -e "$segment/ended" ]; then
      why=lost
    fi
  done
  case $why in timeout | stopped) make_once "$segment/reason" "$why" ;; esac
  sweep
  finish
}

# Start the runner and wait until it has passed the gate, or is gone.
start_runner() {
  [ ! -e "$segment/start" ] || return 0
  detached $sh "$agent" runner "$run" "$number" &
  child=$!
  while
    ticks_of $child
    [ ! -e "$segment/start" ] && [ -n "$ticks" ]
  do nap $short; done
}

# Wait a little; the runner's USR1 ends it at once, also one that came just before.
nap() {
  if [ "$wake" = 0 ]; then
    sleep "$1" &
    wait $!
    [ "$wake" = 0 ] || kill $! 2>/dev/null
  fi
  wake=0
}

# The beats are written in place, each in a block of its own: neither a full disk nor a power cut
# leaves less than there was. Sets $lived to when the job was last known to live. The rounds are
# counted from the start, or from when we came: no suspension falls between two of them.
begin_rounds() {
  lived=${started#-}
  lived=${lived:-0}
  if [ $seen -lt $lived ]; then seen=$lived; fi
  for file in "$segment/beat.a" "$segment/beat.b" "$segment/beat"; do
    first_line "$file"
    set -- $line
    if [ "${2:-0}" -gt "$lived" ]; then lived=$2; fi
  done
  for file in "$segment/beat.a" "$segment/beat.b"; do
    [ -e "$file" ] || make_once "$file" "$(printf '%-15s %-15s' "$(date +%s)" "$lived")"
  done
}

# Note that we live; $uptime is now.
beat() {
  [ $((uptime - beaten)) -ge 300 ] || return 0
  beaten=$uptime
  printf '%-15s %-15s\n' "$(date +%s)" "$uptime" 1<>"$segment/beat.$side"
  if [ $side = a ]; then side=b; else side=a; fi
}

# Set $gap to the time since the last round.
measure_gap() {
  uptime_now
  gap=$((uptime - seen)) seen=$uptime
}

# One round: beat, deadline, cancel; sets $why when the job has to end. A long gap between two
# rounds is a host that was suspended: that time is not counted.
look_around() {
  measure_gap
  lived=$uptime
  if [ $gap -ge 3000 ]; then
    first_line "$segment/suspended"
    replace "$segment/suspended" $((${line:-0} + gap))
  fi
  beat
  if [ -e "$run/cancel" ]; then why=stopped; fi
  if [ -z "$why" ] && overdue 0; then why=timeout; fi
}

# Whether the deadline was so long ago; read anew each time, as it may have been moved. Sets
# $rest to how long a nap may be.
overdue() {
  rest=1
  first_line "$run/deadline"
  case $line in
    never) return 1 ;;
    '' | *[!0-9]*)
      [ "$limit" != never ] || return 1
      line=$((started + limit))
      ;;
  esac
  due=$((line + $1))
  first_line "$segment/suspended"
  due=$((due + ${line:-0}))
  [ $((due - uptime)) -ge 100 ] || rest=$short
  [ "$uptime" -ge $due ]
}

# --- killing ---

# Print `pid:ticks` of the job's processes: whoever carries its cookie, is in its control group
# or in the runner's session, or descends from one of those. The runner's children other than the
# command are its own, such as the one that writes `ended`.
members() {
  carriers=" $(grep -lF "NASEXP_RUN_ID=$id" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\n' | tr '\n' ' ') "
  [ -z "$group" ] || carriers="$carriers$(tr '\n' ' ' <"$group/cgroup.procs") "
  first_line "$segment/child"
  first=$line
  # A session keeps its number from being a pid again: if it is one, that session is no more.
  session=$runner
  ticks_of "$runner"
  if [ -n "$ticks" ] && ! runner_alive; then session=none; fi
  known=' ' table=''
  for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    { read -r stat <"$folder/stat"; } 2>/dev/null || continue
    set -- ${stat##*) }
    case $1$pid in Z* | X* | ?$runner | ?$$) continue ;; esac
    mine=no
    if [ "$4" = "$session" ] && { [ "$2" != "$runner" ] || [ "$pid" = "$first" ]; }; then mine=yes; fi
    case $carriers in *" $pid "*) mine=yes ;; esac
    parent=$2
    shift 19
    if [ $mine = yes ]; then
      known="$known$pid "
      printf '%s\n' "$pid:$1"
    else
      table="$table $pid:$1:$parent"
    fi
  done
  grown=1
  while [ $grown = 1 ]; do
    grown=0 left=
    for entry in $table; do
      case $known in
        *" ${entry##*:} "*)
          known="$known${entry%%:*} " grown=1
          printf '%s\n' "${entry%:*}"
          ;;
        *) left="$left $entry" ;;
      esac
    done
    table=$left
  done
}

# Set $found to the members and send them a signal; each is looked at again right before. The
# kernel holds a plain user to his own processes; root's job may have those of others.
signal_members() {
  found=$(members)
  for entry in $found; do
    ticks_of "${entry%:*}"
    [ "$ticks" = "${entry#*:}" ] && kill "-$1" "${entry%:*}" 2>/dev/null
  done
  [ "$1" != KILL ] || [ -z "$group" ] || printf '1\n' >"$group/cgroup.kill"
}

# Whether a person wants it to end now; may be asked for in the middle of the grace.
hurried() {
  first_line "$run/cancel"
  [ "$line" = now ]
}

# End the whole tree: TERM, the grace, then KILL until two scans find nobody.
sweep() {
  first_line "$segment/group"
  group=$line
  [ -r "$group/cgroup.procs" ] || group=
  if hurried; then found=$(members); else signal_members TERM; fi
  anybody=$found
  uptime_now
  patience=$((uptime + grace * 100))
  while [ -n "$found" ] && [ "$uptime" -lt $patience ] && ! hurried; do
    nap $short
    found=$(members)
    uptime_now
    beat
  done
  tries=0 empty=0
  while [ $tries -lt 50 ] && [ $empty -lt 2 ]; do
    # A fork between scan and kill is caught by the next scan: only two empty ones are the end.
    [ $tries = 0 ] || nap $pause
    tries=$((tries + 1))
    signal_members KILL
    if [ -n "$found" ]; then empty=0; else empty=$((empty + 1)); fi
  done
}

# Make a control group for the job below our own, where we were given the right to.
make_group() {
  root=
  while read -r _ place kind _; do
    [ "$kind" != cgroup2 ] || root=$place
  done </proc/mounts
  root=${NASEXP_CGROUPS-$root}
  while IFS=: read -r order _ place; do
    [ "$order" != 0 ] || root=${root:+$root${place%/}}
  done </proc/self/cgroup
  [ -n "$root" ] && [ -w "$root/cgroup.procs" ] || return 0
  # To root all can be written; where systemd keeps the tree, that is not leave to change it.
  if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; then return 0; fi
  place=$root/nasexp-$id-$number
  mkdir "$place" 2>/dev/null || [ -d "$place" ] || return 0
  if [ -w "$place/cgroup.kill" ] && replace "$segment/group" "$place"; then group=$place; fi
  [ -n "$group" ] || rmdir "$place"
}

# --- the end ---

# The one end. `ended` holds code and uptime of the command; it is the runner's word.
finish() {
  tries=0
  while [ -z "$found" ] && [ ! -e "$segment/ended" ] && runner_alive && [ $tries -lt 300 ]; do
    tries=$((tries + 1))
    nap $short
  done
  uptime_now
  end=$uptime
  # Nobody saw it end: if nothing was left, it was after the last sign of life.
  if [ "$why" = lost ] && [ -z "$anybody" ]; then end=$lived; fi
  first_line "$segment/ended"
  set -- ${line:-none $end}
  code=$1 end=$2 full=${3:-$full}
  case $why$code in lost[0-9]*) why= ;; esac
  [ "$code" = none ] || uptime=$end
  first_line "$segment/reason"
  why=${line:-$why}
  if [ -z "$why" ]; then if [ "$code" -gt 128 ]; then why="signal"; else why="exit"; fi; fi
  [ "$why$code" = exit0 ] || look_at_disk
  survivors=$(printf '%s' "${found:-none}" | tr '\n' ',')
  make_once "$segment/exit" "$why $code $end $survivors ${full:--} $uptime"
  [ ! -e "$segment/exit" ] || rm -f "$run/reserve" "$run/secrets"
  [ -z "$group" ] || rmdir "$group" 2>/dev/null
}

# Whether the disk is full: that may be why the job failed.
look_at_disk() {
  set -- $(df -Pk "$run" 2>/dev/null | tail -n 1)
  case ${4:-x} in *[!0-9]*) return 0 ;; esac
  if [ "$4" -lt 256 ]; then full=disk-full; fi
}

# --- the runner and its deputy ---

runner() {
  [ ! -e "$segment/start" ] || return 0
  identify
  uptime_now
  replace "$segment/runner" "$self $(date +%s) $uptime" || return 1
  make_group
  uptime_now
  started=$uptime
  # The gate: before it nothing ran, behind it this runner alone may run the command.
  make_once "$segment/start" "$started $(date +%s) $self" || return 0
  [ "$number" = 1 ] || rm -f "$run/deadline" # of the segment before
  [ "$limit" = never ] || limit=$((started + limit))
  make_once "$run/deadline" "$limit"
  wake_warden
  detached $sh "$agent" deputy "$run" "$number" &
  deputy=$!
  trap : TERM
  be_the_command >>"$segment/log" 2>&1 </dev/null &
  child=$!
  printf '%s\n' $child >"$segment/child"
  # A caught signal ends `wait` early: only a dead command has a code.
  while
    wait $child
    code=$?
    kill -0 $child 2>/dev/null
  do :; done
  uptime_now
  make_once "$segment/ended" "$code $uptime${full:+ $full}"
  wake_warden
  kill $deputy
}

# Become the user's command. The secrets are in its environment alone, and no longer on the disk.
be_the_command() {
  trap - TERM
  [ -z "$group" ] || printf '0\n' >"$group/cgroup.procs"
  cd "$run/work" || exit 1
  export NASEXP_RUN_ID="$id"
  unset NASEXP_SH NASEXP_CGROUPS
  umask 022
  set -- "$run"
  # shellcheck disable=SC1091 # made by nasexp: NAME='value'; export NAME
  [ ! -r "$1/secrets" ] || . "$1/secrets"
  rm -f "$1/secrets"
  exec /bin/sh "$1/command"
}

# Hold the deadline when there is no warden, or one that does nothing.
deputy() {
  trap 'kill $! 2>/dev/null; exit' TERM
  read_runner
  begin_rounds
  while [ -z "$why" ] && runner_alive && [ ! -e "$segment/ended" ]; do
    nap 5
    if ! watched; then
      look_around
    else
      measure_gap
      # After a suspension the warden gets a round to note it.
      if [ $gap -lt 3000 ] && overdue $((grace * 100 + 1500)); then why=timeout; fi
    fi
  done
  [ -n "$why" ] || return 0
  make_once "$segment/reason" "$why"
  sweep
}

agent=$0 verb=${1:-} run=${2:-} number=${3:-1}
segment=$run/segments/$number
sh=${NASEXP_SH:-/bin/sh}
read -r boot </proc/sys/kernel/random/boot_id
wake=0 why='' found='' anybody='' group='' full='' side=a beaten=0 seen=0 rest=1 short=0.1 pause=0.2
sleep 0.001 2>/dev/null || { short=1 pause=1; }
id=$(spec id) grace=$(spec grace) limit=$(spec timeout)
[ -n "$id" ] && [ -n "$grace" ] || exit 65
case $verb in
  launch | adopt | runner | deputy) $verb ;;
  launching | adopting) warden ;;
  *) exit 64 ;;
esac
