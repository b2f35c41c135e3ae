#!/bin/sh
# Tells all that a run's folder says, in lines `key words`, then an empty line and the console.
#
#   $1 the folder   $2 the segment   $3 the first block of the console   $4 how many blocks
#
# shellcheck disable=SC2086 # what is not quoted is words: lines of the agent's files, /proc
cd "$1" || exit 9
segment=segments/$2
read -r uptime _ </proc/uptime
printf 'uptime %s\n' "${uptime%.*}${uptime#*.}"
printf 'wall %s\n' "$(date +%s.%N)"
read -r boot </proc/sys/kernel/random/boot_id
printf 'boot %s\n' "$boot"
# tell KEY FILE: its first line, whole or not at all.
tell() {
  line=
  { read -r line <"$2"; } 2>/dev/null || return 0
  printf '%s %s\n' "$1" "$line"
}
# lives PID TICKS: whether that process is there and is no zombie.
lives() {
  stat=
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  ticks=$2
  set -- ${stat##*) }
  case $1 in Z | X) return 1 ;; esac
  shift 19
  [ "$1" = "$ticks" ]
}
# tell_process KEY PID TICKS BOOT
tell_process() {
  [ "${4:-}" = "$boot" ] && lives "$2" "$3" && printf '%s_alive 1\n' "$1"
}
if [ -r spec ]; then
  while IFS='=' read -r key value; do
    case $key in version | timeout) printf '%s %s\n' "$key" "$value" ;; esac
  done <spec
fi
for key in ready collected deadline; do tell $key $key; done
[ ! -e cancel ] || printf 'cancel 1\n'
for owner in owner/*; do
  [ ! -r "$owner/nonce" ] || tell "owner ${owner#owner/}" "$owner/nonce"
done
for folder in segments/*; do [ ! -d "$folder" ] || printf 'segment %s\n' "${folder#*/}"; done
# Who lives is asked before how it ended: what has ended by then has left its word.
tell runner "$segment/runner"
[ -z "$line" ] || tell_process runner $line
tell start "$segment/start"
set -- "$segment" "$3" "$4" $line
[ $# -lt 8 ] || tell_process starter "$6" "$7" "$8"
number=
while [ -e "$1/warden$((number + 1))" ]; do number=$((number + 1)); done
tell warden "$1/warden$number"
[ -z "$line" ] || tell_process warden $line
for key in beat.a beat.b beat suspended reason ended exit; do tell $key "$1/$key"; done
if [ -n "$line" ]; then
  survivors=${line#* * * }
  for entry in $(printf '%s' "${survivors%% *}" | tr ',' ' '); do
    case $entry in
      *:*) lives "${entry%:*}" "${entry#*:}" && printf 'survivor %s\n' "${entry%:*}" ;;
    esac
  done
fi
if [ -r "$1/log" ]; then
  stat -c 'log %s' "$1/log" 2>/dev/null || wc -c <"$1/log" | { read -r size && printf 'log %s\n' "$size"; }
fi
printf '\n'
[ ! -r "$1/log" ] || [ "$3" = 0 ] || dd if="$1/log" bs=4096 skip="$2" count="$3" 2>/dev/null
exit 0
