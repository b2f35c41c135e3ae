"""What an upload by offset runs on the host; `$1` is the file."""

from __future__ import annotations

from nasexp.connections.bulk.tools import SUM_OF

_SIZE_OF = 'size_of() { stat -c %s -- "$1" 2>/dev/null || wc -c <"$1"; }\n'

# Prints how much has arrived. The own mark comes first and goes last, the others go before the
# file changes its inode: whoever opens it later than that sees that its mark is gone.
ARRIVED = (
    _SIZE_OF
    + """
umask 077
mkdir -p "${1%/*}" || exit 9
busy=
for mark in "$1".open.*; do [ ! -e "$mark" ] || busy=1; done
if [ -n "$busy" ]; then
  printf '' >"$1.open.$2" || exit 9
  for mark in "$1".open.*; do [ "$mark" = "$1.open.$2" ] || rm -f "$mark"; done
  blocks=0
  [ ! -e "$1" ] || blocks=$(($(size_of "$1") / 1048576))
  if [ $blocks -gt 0 ] && dd if="$1" of="$1.copy" bs=1048576 count=$blocks 2>/dev/null; then
    mv -f "$1.copy" "$1" || exit 9
  else
    rm -f "$1.copy" "$1"
  fi
  rm -f "$1.open.$2"
fi
if [ -e "$1" ]; then size_of "$1"; else echo 0; fi
"""
)

# Words: file, mark, its size, plain or packed; blocks that arrived before and are summed up now.
APPEND = (
    _SIZE_OF
    + SUM_OF
    + """
umask 077
LC_ALL=C; export LC_ALL
if [ "$6" -gt 0 ]; then
  {
    sum=$(dd if="$1" bs=1048576 skip="$5" count="$6" 2>/dev/null | sum_of)
    printf '\\nnasexp-sum %s\\n' "${sum%% *}"
  } </dev/null &
fi
(
  printf '' >"$1.open.$2" || exit 7
  exec >>"$1" || exit 7
  [ -e "$1.open.$2" ] && [ "$(size_of "$1")" -eq "$3" ] || exit 8
  case $4 in packed) exec gzip -dc ;; *) exec cat ;; esac
)
status=$?
rm -f "$1.open.$2"
wait
printf '\\nnasexp-end %d %d\\n' $status "$(size_of "$1")"
exit $status
"""
)

# Words: file, first block, number of blocks.
SUM = (
    SUM_OF
    + """
sum=$(dd if="$1" bs=1048576 skip="$2" count="$3" 2>/dev/null | sum_of)
printf '\\nnasexp-sum %s\\n' "${sum%% *}"
"""
)

FORGET = 'rm -f "$1" "$1".open.*'
