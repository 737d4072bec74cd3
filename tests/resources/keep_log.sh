#!/bin/sh
# SPDX-License-Identifier: MIT
# keep_log.sh COMPILER ARG... -o OBJECT ... -- a compiler launcher: what ptxas says (-Xptxas -v) goes
# to OBJECT.ptxas, for check.py; everything else is printed as usual.
previous=
object=
for word; do
  [ "$previous" = -o ] && object=$word
  previous=$word
done
case $object in *.cu.o) ;; *) exec "$@" ;; esac
"$@" >"$object.part" 2>&1
status=$?
grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame' "$object.part"
mv "$object.part" "$object.ptxas"
exit $status
