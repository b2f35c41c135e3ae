#!/bin/sh
# The host agent of nasexp: starts a job, watches it, ends it. POSIX sh, nothing to install.
#
#   agent.sh launch RUN_FOLDER     start the job of this run, once, and return
#
# Two processes keep a job: the runner, leader of a session of its own, starts the command and
# writes `ended`; the warden holds the deadline, kills what is left and writes `exit`. All state
# lies in files of RUN_FOLDER/segments/1; the first to make `start` or `exit` wins.
set -u
umask 077

# Uptime in hundredths of a second: no step of the wall clock moves it.
uptime_now() {
  read -r uptime _ </proc/uptime
  uptime=${uptime%.*}${uptime#*.}
}

# Set $ticks to the start time of a process, in clock ticks since boot; empty when it is gone.
# With the pid and the boot id it names one process for ever.
ticks_of() {
  ticks=
  stat=
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  # shellcheck disable=SC2086 # the fields are words
  set -- ${stat##*) }
  case $1 in Z | X) return 0 ;; esac
  shift 19
  ticks=$1
}

# Write stdin to a file that was not there: whole, on disk, and only if nobody was first.
make_once() {
  dd of="$1.$$" conv=fsync 2>/dev/null &&
    { ln "$1.$$" "$1" || (set -C && cat "$1.$$" >"$1"); } 2>/dev/null
  made=$?
  rm -f "$1.$$"
  return $made
}

# Who we are, for `runner` and `warden`: pid, start ticks, boot id.
identity() {
  ticks_of $$
  read -r boot </proc/sys/kernel/random/boot_id
  printf '%s %s %s\n' $$ "$ticks" "$boot"
}

alive() {
  [ -r "$1" ] || return 1
  read -r pid was _ <"$1" || return 1
  ticks_of "$pid"
  [ -n "$ticks" ] && [ "$ticks" = "$was" ]
}

spec() {
  while IFS='=' read -r key value; do
    [ "$key" = "$1" ] && printf '%s\n' "$value"
  done <"$run/spec"
}

# Wait a little; the runner's USR1 ends it at once, also one that came just before.
nap() {
  if [ "$wake" = 0 ]; then
    sleep "$1" &
    wait $!
  fi
  wake=0
}

# Run a command in a session of its own, where the host can do that.
detached() {
  if command -v setsid >/dev/null 2>&1; then setsid "$@"; else
    trap '' HUP
    "$@"
  fi </dev/null >/dev/null 2>&1 &
}

launch() {
  [ -e "$segment/start" ] && return 0
  mkdir -p "$segment" || return 1
  detached /bin/sh "$agent" warden "$run"
}

warden() {
  identity >"$segment/warden"
  trap 'wake=1' USR1
  detached /bin/sh "$agent" runner "$run" $$
  why=
  wait_for_start
  while [ ! -e "$segment/ended" ]; do
    if ! alive "$segment/runner"; then
      [ -e "$segment/ended" ] || why=lost
      break
    fi
    watch
    beat
    nap 1
  done
  sweep
  finish
}

# The runner needs a moment to be there. After that the gate is closed: it can never start.
wait_for_start() {
  tries=0
  while [ ! -e "$segment/start" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    nap $short
  done
  [ -e "$segment/start" ] || printf -- '- -\n' | make_once "$segment/start"
}

beat() {
  uptime_now
  printf '%s %s\n' "$(date +%s)" "$uptime" >"$segment/beat"
}

# Deadline and cancel: both end the tree and let the runner write how the command ended.
watch() {
  [ -z "$why" ] || return 0
  if [ -e "$run/cancel" ]; then why=stopped; fi
  read -r deadline <"$run/deadline" || deadline=never
  uptime_now
  if [ "$deadline" != never ] && [ "$uptime" -ge "$deadline" ]; then why=timeout; fi
  [ -z "$why" ] || sweep
}

# Print the pids of the job: whoever carries its cookie, is in the runner's session, or descends
# from one of those. Never the runner (it writes the end), never we.
members() {
  find_runner
  carriers=" $(grep -lF "NASEXP_RUN_ID=$id" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\n' | tr '\n' ' ') "
  known=" $root "
  table=
  for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    { read -r stat <"$folder/stat"; } 2>/dev/null || continue
    # shellcheck disable=SC2086 # the fields are words
    set -- ${stat##*) }
    case $1 in Z | X) continue ;; esac
    case $carriers in *" $pid "*) known="$known$pid " ;; *)
      if [ "$4" = "$session" ]; then known="$known$pid "; else table="$table $pid:$2"; fi
      ;;
    esac
  done
  grown=1
  while [ $grown = 1 ]; do
    grown=0
    rest=
    for pair in $table; do
      case $known in *" ${pair#*:} "*)
        known="$known${pair%:*} "
        grown=1
        ;;
      *) rest="$rest $pair" ;;
      esac
    done
    table=$rest
  done
  for pid in $known; do
    case $pid in "$root" | "$$" | - | 0 | 1) ;; *) printf '%s\n' "$pid" ;; esac
  done
}

# Set $session to the job's session and $root to its first process; `-` fits nobody. A number
# that another process has by now names nothing of ours, nor does one that was never written:
# 0 would stand for the whole machine.
find_runner() {
  session=- root=-
  { read -r pid was _ <"$segment/runner"; } 2>/dev/null || return 0
  case $pid in '' | *[!0-9]* | 0 | 1) return 0 ;; esac
  ticks_of "$pid"
  if [ -z "$ticks" ]; then session=$pid; fi
  if [ -n "$ticks" ] && [ "$ticks" = "$was" ]; then session=$pid root=$pid; fi
}

# Set $found to the members and send them a signal.
signal_members() {
  found=$(members)
  # shellcheck disable=SC2086 # pids are words
  [ -z "$found" ] || kill "-$1" $found 2>/dev/null
}

# End the whole tree: TERM, the grace, then KILL until two scans find nobody.
sweep() {
  signal_members TERM
  uptime_now
  limit=$((uptime + grace * 100))
  while [ -n "$found" ] && [ "$uptime" -lt "$limit" ]; do
    nap $short
    found=$(members)
    beat
  done
  tries=0
  while [ $tries -lt 50 ]; do
    # A fork between scan and kill is caught by the next scan: only two empty ones are the end.
    was=$found
    signal_members KILL
    [ -n "$was$found" ] || break
    nap $short
    tries=$((tries + 1))
  done
}

# The one end. `ended` holds code and uptime of the command; it is the runner's word.
finish() {
  tries=0
  while [ ! -e "$segment/ended" ] && alive "$segment/runner" && [ $tries -lt 50 ]; do
    tries=$((tries + 1))
    nap $short
  done
  code=none
  uptime_now
  [ -e "$segment/ended" ] && read -r code uptime <"$segment/ended"
  [ -n "$why" ] || { if [ "$code" -gt 128 ]; then why="signal"; else why="exit"; fi; }
  survivors=$(printf '%s' "${found:-none}" | tr '\n' ',')
  printf '%s %s %s %s\n' "$why" "$code" "$uptime" "$survivors" | make_once "$segment/exit"
}

runner() {
  warden_pid=$1
  identity >"$segment/runner"
  uptime_now
  started=$uptime
  timeout=$(spec timeout)
  if [ "$timeout" = never ]; then deadline=never; else deadline=$((started + timeout)); fi
  printf '%s\n' "$deadline" >"$run/deadline"
  # The gate: before it nothing ran, behind it this runner alone may run the command.
  printf '%s %s\n' "$started" "$(date +%s)" | make_once "$segment/start" || exit 0
  kill -USR1 "$warden_pid" 2>/dev/null
  cd "$run/work" || exit 1
  trap : TERM
  umask 022
  NASEXP_RUN_ID=$id /bin/sh "$run/command" >>"$segment/log" 2>&1 </dev/null &
  command=$!
  wait $command
  code=$?
  # A caught signal ends `wait` early: only a dead command has a code.
  while kill -0 $command 2>/dev/null; do
    wait $command
    code=$?
  done
  uptime_now
  umask 077
  printf '%s %s\n' "$code" "$uptime" | make_once "$segment/ended"
  kill -USR1 "$warden_pid" 2>/dev/null
}

agent=$0
verb=$1
run=$2
segment=$run/segments/1
wake=0
short=0.1
sleep 0.001 2>/dev/null || short=1
id=$(spec id)
grace=$(spec grace)
# Without its id nothing can be told apart from what is not ours.
case $id in '' | *[!0-9A-Za-z-]*) exit 65 ;; esac
case $grace in '' | *[!0-9]*) grace=10 ;; esac
case $verb in
launch) launch ;;
warden) warden ;;
runner) runner "$3" ;;
*) exit 64 ;;
esac
