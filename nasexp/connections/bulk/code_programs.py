"""What an upload of code runs on the host; `$1` is the run's folder there.

turn        the nonce of whoever may write; another one's programs leave at once
writer.N    pid and start of a program that unpacks, of the one with the nonce N
unpack/     what is unpacked so far
sent        which archive that is of, in which boot, and how far it has come
large-N     a large file on its way, N its place in the archive
room        removed where the disk is full, so that small records still find room there
"""

from __future__ import annotations

from nasexp.connections.bulk.tools import SUM_OF

NOT_MY_TURN = 8

_MY_TURN = """
cd "$1" || exit 9
umask 077
LC_ALL=C; export LC_ALL
boot=; { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
my_turn() {
  now=; sha=; then=
  { read -r now <turn; read -r sha then place <sent; } 2>/dev/null
  [ "$now" = "$3" ] && [ "$sha $then" = "$2 $boot" ]
}
keep() { printf '%s %s %s\\n' "$2" "$boot" "$4" >sent.part && mv -f sent.part sent; }
"""

# Words: folder, digest of the archive, nonce. Prints how far an earlier upload has come. Whoever
# unpacks notes its pid before it looks whether it still is its turn: so it is found and ended
# here, or finds another's turn itself. After a power cut files may have their sizes and not
# their bytes: nothing of another boot is kept.
BEGIN = (
    'mkdir -p "$1" || exit 9\n'
    + _MY_TURN
    + """
printf '%s\\n' "$3" >turn || exit 7
is_alive() {
  stat=
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  began=$2
  set -- ${stat##*) }
  [ "$1" != Z ] && [ "${20}" = "$began" ]
}
for mark in writer.*; do
  [ -e "$mark" ] || continue
  pid=; ticks=
  read -r pid ticks <"$mark"
  case $pid in ''|*[!0-9]*) rm -f "$mark"; continue ;; esac
  tries=10
  while is_alive "$pid" "$ticks"; do
    kill -9 "$pid" 2>/dev/null
    tries=$((tries - 1))
    [ $tries -gt 0 ] || exit 8
    ! is_alive "$pid" "$ticks" || sleep 1
  done
  rm -f "$mark"
done
[ -s room ] || dd if=/dev/zero of=room bs=65536 count=1 || { rm -f room; exit 7; }
place=0
if ! my_turn "$@" || [ ! -d unpack ]; then
  [ ! -e unpack ] || rm -rf unpack
  rm -f sent large-*
  (umask 022 && mkdir unpack) && keep "$1" "$2" "$3" 0 || exit 7
  place=0
fi
printf '%s\\n' "$place"
"""
)

# Words: nonce, what unpacks its stdin, and that one's words. The pid stays over `exec`.
WRITER = """
read -r stat </proc/$$/stat
nonce=$1; shift
began() { shift 19; printf '%s' "$1"; }
printf '%s %s\\n' $$ "$(began ${stat##*) })" >"writer.$nonce" || exit 7
now=; read -r now <turn
[ "$now" = "$nonce" ] || exit 8
umask 022
exec "$@"
"""

# Words: folder, digest, nonce, packed or plain, checked or not, the text above, what unpacks.
# What unpacks may leave early; the rest is read, so that the digest is of all. Of a full disk tar
# says only that it wrote less than it wanted: dd gives that its name.
BATCH = (
    _MY_TURN
    + SUM_OF
    + """
my_turn "$@" || { printf '\\nnasexp-end 8\\n'; exit 8; }
nonce=$3; form=$4; checked=$5; writer=$6
shift 6
copied() { case $checked in checked) tee /dev/fd/3 ;; *) cat ;; esac; }
plain() { case $form in packed) gzip -dc | copied ;; *) copied ;; esac; }
unpacked() {
  /bin/sh -c "$writer" sh "$nonce" "$@" 3>&-
  status=$?
  cat >/dev/null
  rm -f "writer.$nonce"
  case $status in 0|8) ;; *)
    dd if=/dev/zero of=full bs=65536 count=16
    rm -f full
  ;; esac
  printf '\\nnasexp-end %d\\n' $status
}
{ { plain | unpacked "$@" >&4; } 3>&1 | {
  sum=$(sum_of)
  printf '\\nnasexp-sum %s\\n' "${sum%% *}"
} ; } 4>&1
"""
)

# Words: folder, digest, nonce, place. All before the place is unpacked for good.
KEEP = (
    _MY_TURN
    + """
my_turn "$@" || exit 8
keep "$@" || exit 7
"""
)

# Words: as above, then a large file that arrived, its name, its mode, its time. Where an answer
# was lost, it is there already.
PLACE = (
    _MY_TURN
    + """
my_turn "$@" || exit 8
if [ -e "$5" ]; then
  chmod "$7" "$5" && { TZ=UTC0 touch -t "$8" "$5" 2>/dev/null || :; }
  mv -f "$5" "unpack/$6" || exit 7
fi
[ -e "unpack/$6" ] && keep "$@" || exit 7
"""
)

# Words: folder, digest, nonce, name of the link for people, time that the folders get where they
# came in more than one piece (else tar has set it). `ready` is made last of all, when everything
# else is on the disk, should the system be able to tell.
FINISH = (
    """
cd "$1" || exit 9
digest=; { read -r digest <ready; } 2>/dev/null
[ "$digest" != "$2" ] || exit 0
"""
    + _MY_TURN
    + """
my_turn "$@" || exit 8
TZ=UTC0; export TZ
[ -z "$5" ] || find unpack -type d -exec touch -t "$5" {} + 2>/dev/null
case $(sync --help 2>&1 </dev/null) in *-f*) sync -f unpack 2>/dev/null ;; esac
if [ -d unpack/bin ]; then
  [ ! -e work ] || rm -rf work
  mv unpack/bin work || exit 7
fi
rmdir unpack 2>/dev/null
[ -d work ] || exit 7
mkdir -p ../../by-name && ln -sfn "../runs/${1##*/}" "../../by-name/$4" 2>/dev/null
printf '%s\\n' "$2" >ready.part && mv -f ready.part ready || exit 7
rm -f sent turn room
"""
)

MAKE_ROOM = 'rm -f "$1/room"'

# Where there is no tar.
PYTHON_UNTAR = """
import sys, tarfile
form = {"encoding": "utf-8", "errors": "surrogateescape"}
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|", bufsize=1 << 18, **form) as tar:
    tar.extractall("unpack")
"""
