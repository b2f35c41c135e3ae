#!/bin/sh
# Tells what a host is and has, in lines `key value`; changes nothing and makes nothing.
#
#   $1  the folder for runs, `~` for the home; where it is not there, its nearest parent answers
#   $2  names of programs to look for
limited() { if command -v timeout >/dev/null 2>&1; then timeout 15 "$@"; else "$@"; fi; }
# shellcheck disable=SC2088 # a tilde that was written as such, in a setting
case $1 in '~') set -- "$HOME" "$2" ;; '~/'*) set -- "$HOME/${1#'~/'}" "$2" ;; esac
printf 'now %s\n' "$(date +%s.%N)"
read -r uptime _ </proc/uptime && printf 'uptime %s\n' "$uptime"
printf 'system %s %s %s\n' "$(uname -s)" "$(uname -r)" "$(uname -m)"
printf 'user %s\nuid %s\n' "$(id -un)" "$(id -u)"
for tool in $2; do
  found=$(command -v "$tool" 2>/dev/null) && printf 'tool %s %s\n' "$tool" "$found"
done
folder=$1
file=
until [ -d "$folder" ] || [ "$folder" = / ]; do
  [ ! -e "$folder" ] || file=$folder
  folder=${folder%/*}
  folder=${folder:-/}
done
[ -w "$folder" ] && [ -z "$file" ] && printf 'writable yes\n'
printf 'folder %s\n' "${file:-$folder}"
row=$(df -Pk "$folder" 2>/dev/null | tail -n 1)
printf 'disk %s\n' "$row"
while read -r _ mount _ options _; do
  case $row in *" $mount") ;; *) continue ;; esac
  case ,$options, in *,noexec,*) printf 'noexec %s\n' "$mount" ;; esac
done </proc/mounts 2>/dev/null
for run in "$1"/runs/*/; do
  [ -e "${run}segments/1/start" ] && [ ! -e "${run}segments/1/exit" ] && printf 'live %s\n' "$run"
done
if command -v nvidia-smi >/dev/null 2>&1; then
  fields=name,memory.used,memory.total,utilization.gpu,driver_version
  limited nvidia-smi --query-gpu=$fields --format=csv,noheader,nounits 2>/dev/null |
    while IFS= read -r gpu; do printf 'gpu %s\n' "$gpu"; done
fi
if command -v python3 >/dev/null 2>&1; then
  python3 -c 'import ensurepip, venv, sys; print("venv", sys.version.split()[0])' 2>/dev/null
fi
if [ "$(id -u)" = 0 ]; then printf 'shutdown root\ncancel root\n'
elif command -v sudo >/dev/null 2>&1; then
  sudo -n -l /sbin/shutdown -c >/dev/null 2>&1 && printf 'cancel sudo\n'
  sudo -n -l /sbin/shutdown -h now >/dev/null 2>&1 && printf 'shutdown sudo\n'
fi
cat /etc/systemd/logind.conf /etc/systemd/logind.conf.d/*.conf 2>/dev/null |
  while read -r line; do
    case $line in KillUserProcesses=*) printf 'kills %s\n' "${line#*=}" ;; esac
  done
[ -e "/var/lib/systemd/linger/$(id -un)" ] && printf 'linger yes\n'
[ -r /run/systemd/shutdown/scheduled ] && printf 'switching_off yes\n'
exit 0
