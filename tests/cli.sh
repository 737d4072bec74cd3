#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cli.sh DLF SOURCE -- the program as a user meets it: good, bad and hostile command lines.
# shellcheck source=tests/cli_common.sh
. "$(dirname "$(realpath "$0")")/cli_common.sh"

# ---- help, version, lists ---------------------------------------------------------------------------

expect 0; says 'dlf run Q7'; [ "$(wc -l <stdout)" = 6 ] || fail "dlf alone prints 6 lines"
cp stdout overview
expect 0 help; cmp -s stdout overview || fail "dlf help differs from dlf"
expect 0 --help; expect 0 -h
expect 0 --version; says 'dlf '
for command in list run plot explain bench compare report doctor; do
  expect 0 "$command" --help; says "dlf $command"
  cp stdout help
  expect 0 help "$command"; cmp -s stdout help || fail "help $command differs from $command --help"
done
expect 0 run --nonsense --help; says 'dlf run'
with LC_ALL=zh_CN.UTF-8 expect 0 help run; says '运行'
expect 0 list run --help
expect 2 help nonsense; complains 'nonsense'

expect 0 list; says 'Q47'; says 'of 46 questions'
[ "$(grep -c '^Q' stdout)" = 46 ] || fail "46 questions"
expect 0 list questions --lang zh; says '如何判断深度学习模型中存在梯度消失问题'
expect 0 list --json; expect_json 1
expect 0 list experiments; says vanishing; says exploding
expect 0 list experiments --json; expect_json 1
expect 0 list params vanishing; says depth
expect 0 list params q7 --json; expect_json 1
expect 0 list devices; says cpu; says ref
expect 0 list devices --json; expect_json 1
expect 2 list nonsense; complains 'questions'
expect 2 list params; complains 'experiment'
expect 2 list params nothing; complains 'nothing'
expect 2 list questions more; complains 'too many'

# ---- wrong names and values --------------------------------------------------------------------------

expect 2 lst; complains "did you mean 'list'?"
expect 2 RUN; complains "did you mean 'run'?"
for later in diagnose verify; do
  expect 2 "$later"; complains 'not in this version'
  grep -qw "$later" overview && fail "help offers $later, which does not exist yet"
done
expect 2 --frobnicate; complains 'frobnicate'
expect 2 run; complains 'experiment'
expect 2 run vanishin; complains "did you mean 'vanishing'?"
expect 2 run Q6; complains 'Q6'
expect 2 run Q999; complains 'Q999'
expect 2 run ''; complains 'experiment'
expect 2 run exploding nothing; complains 'nothing'
expect 2 run exploding --jsno; complains "did you mean '--json'?"
expect 2 run exploding -x; complains "'-x'"
expect 2 run exploding --seed; complains 'needs a value'
expect 2 run exploding --seed=; complains 'needs a value'
expect 2 run exploding --out --json; complains 'looks like a flag'
expect 2 run exploding --json=yes; complains 'takes no value'
expect 2 run exploding --seed 1 --seed 2; complains 'given twice'
expect 2 run exploding --quick --full; complains 'exclude'
expect 2 run exploding --json --csv; complains 'exclude'
expect 2 run exploding --lang fr; complains "'fr'"
for bad in 0 -1 1.5 x 99999999999999999999 ' 3' 0x3 ''; do
  expect 2 run exploding --seeds "$bad"; complains seeds
done
expect 2 run exploding --seed -1; complains seed
expect 2 run exploding --set widht=5; complains "did you mean 'width'?"
expect 2 run exploding --set width; complains 'name=value'
expect 2 run exploding --set =5; complains 'name=value'
expect 2 run exploding --set width=; complains 'name=value'
expect 2 run exploding --set width=5 --set width=6; complains 'width'
for bad in nan inf -inf 1e999 0 -5 2.5 five 0x10 '5 ' 5=5 1e300; do
  expect 2 run exploding --set "width=$bad"; complains width
done
expect 2 run exploding --set activation=tan; complains activation
expect 2 run exploding --set "width=$(printf '9%.0s' {1..20000})"; complains width
expect 2 run exploding --set "$(printf 'n%.0s' {1..20000})=1"; complains 'has no parameter'
expect 2 run "$(printf 'n%.0s' {1..20000})"; complains 'there is no experiment'
expect 2 run "--$(printf 'n%.0s' {1..20000})"; complains 'has no flag'
expect 2 "$(printf 'n%.0s' {1..20000})"; complains 'there is no command'
expect 2 run $'\xff\xfe\x01'; complains 'there is no experiment'
expect 2 run '%n%s%n'; complains '%n%s%n'
expect 2 run exploding --sweep width; complains sweep
expect 2 run exploding --sweep width=; complains sweep
expect 2 run exploding --sweep width=8..16; complains sweep
expect 2 run exploding --sweep width=8..16:1; complains count
expect 2 run exploding --sweep width=8..16:1000000; complains count
expect 2 run exploding --sweep width=a..b:3; complains sweep
expect 2 run exploding --sweep width=8,,16; complains empty
expect 2 run exploding --sweep width=8,8; complains twice
expect 2 run exploding --sweep width=1..16:3; complains width
expect 2 run exploding --sweep widht=8,16; complains "did you mean 'width'?"
expect 2 run exploding --sweep width=../../x; complains width
expect 2 run exploding --sweep width=8,16 --set width=8; complains width
expect 2 run exploding --device gpu; complains "'gpu'"
expect 2 run exploding --device cuda:x; complains device
expect 2 doctor --device gpu; complains "'gpu'"
[ ! -e out ] || fail "a refused command line leaves no directory"

# A CUDA device that is not there is exit 4, not 2. cuda:99 is on no machine.
expect 4 run exploding --device cuda:99; complains CUDA
"$dlf" doctor --device cuda:99 >stdout 2>stderr; [ $? = 4 ] || fail "doctor --device cuda:99: not exit 4"

# ---- runs ------------------------------------------------------------------------------------------------

expect 0 run exploding "${tiny[@]}" --device cpu --out a
says 'Wrote a/exploding/'; says 'Next: dlf plot'; says 'undecided'
[ -s a/exploding/result.json ] || fail "no result.json"
[ ! -e a/exploding/.dlf-probe ] || fail "the probe file is left behind"
grep -q '"complete": true' a/exploding/result.json || fail "the result is not complete"
grep -q "run exploding --set width=16" a/exploding/result.json || fail "no command in the manifest"
grep -q "$work" a/exploding/result.json && fail "the manifest holds an absolute path"
grep -q $'\x1b' stdout && fail "escape sequences although stdout is no terminal"

expect 0 run "--device=cpu" --json "${tiny[@]}" exploding --out=b; expect_json 1
cmp -s stdout b/exploding/result.json || fail "--json differs from result.json"
expect 0 run Q8 exploding "${tiny[@]}" --device cpu --json -o b; expect_json 1
expect 0 run Q8 "${tiny[@]}" --device cpu --csv -o b; says 'experiment,check,measured'
expect 0 run Q8 "${tiny[@]}" --device cpu --lang zh -o b; says '已写入'
with LANG=zh_CN.UTF-8 expect 0 run Q8 "${tiny[@]}" --device cpu -o b; says '已写入'
with LC_ALL=en_US.UTF-8 LANG=zh_CN.UTF-8 expect 0 run Q8 "${tiny[@]}" --device cpu -o b; says 'Wrote'

# Same seed, same tables, whatever the number of threads; another seed, other tables.
for threads in 1 2; do
  with OMP_NUM_THREADS=$threads expect 0 run Q8 "${tiny[@]}" --device cpu -q -o threads$threads
done
cat threads1/exploding/*.csv >one.csv; cat threads2/exploding/*.csv >two.csv
cmp -s one.csv two.csv || fail "tables differ between 1 and 2 threads"
[ -s one.csv ] || fail "no tables"
# the JSON too, but for the manifest, which may say how long it took
body() { sed '/"manifest"/,/^ }/d' "$1"; }
body threads1/exploding/result.json >one; body threads2/exploding/result.json >two
cmp -s one two || fail "results differ between 1 and 2 threads"
expect 0 run Q8 "${tiny[@]}" --seed 2 --device cpu -q -o seed2
cat seed2/exploding/*.csv | cmp -s - one.csv && fail "another seed gives the same tables"

# Where data sets are: checked before anything is computed, and recorded.
mkdir sets
expect 3 run Q8 "${tiny[@]}" --device cpu --data nowhere -o nodata; complains '--data nowhere'
expect 3 run Q8 "${tiny[@]}" --device cpu --data=one.csv -o nodata; complains 'not a directory'
with DLF_DATA=nowhere expect 3 run Q8 "${tiny[@]}" --device cpu -o nodata; complains 'DLF_DATA nowhere'
[ ! -e nodata ] || fail "a refused data directory leaves an output directory"
expect 0 run Q8 "${tiny[@]}" --device cpu -q --data sets -o data1
grep -q '"data_dir": "sets"' data1/exploding/result.json || fail "--data is not recorded"
with DLF_DATA=sets expect 0 run Q8 "${tiny[@]}" --device cpu -q -o data2
grep -q '"data_dir": "sets"' data2/exploding/result.json || fail "DLF_DATA is not recorded"
mkdir bad
printf '\0\0\010\1\0\0\0\2\0\1' >bad/train-labels-idx1-ubyte
printf '\0\0\010\3\0\0\0\2\0\0\0\034\0\0\0\034pixels' >bad/train-images-idx3-ubyte
expect 3 run relu-vs-sigmoid --quick --seeds 1 --set width=16 --set depth=3 --set steps=10 --set samples=10 \
  --set trials=3 --no-plot --device cpu --data bad -o nodata
complains 'bad/train-images-idx3-ubyte: truncated: from offset 16 on 1568 bytes should follow, 6 do'
grep -q data_dir a/exploding/result.json && fail "a data directory is recorded that nobody named"

# ---- sweeps ------------------------------------------------------------------------------------------------

sweep=(--set depth=3 --set steps=10 --set time=5 --set starts=2 --seeds 2 --no-plot --device cpu)
expect 0 run exploding "${sweep[@]}" --sweep width=8..16:2 -o s
[ -s s/exploding/width=8/result.json ] || fail "no result of the first value"
[ -s s/exploding/width=16/result.json ] || fail "no result of the last value"
[ "$(head -n 1 s/exploding/sweep.csv | tr -d '\r')" = value,check,measured,lo,hi,expected,verdict ] ||
  fail "header of sweep.csv"
checks=$(grep -c '"verdict":' s/exploding/width=8/result.json)
[ "$(wc -l <s/exploding/sweep.csv)" = $((1 + 2 * checks)) ] || fail "sweep.csv: one row per value and check"
expect 0 run exploding "${sweep[@]}" --sweep width=8,16 -o s --csv
cmp -s stdout s/exploding/sweep.csv || fail "--csv of a sweep is not sweep.csv"

# ---- output that cannot be written -----------------------------------------------------------------------------

echo precious >file
expect 1 run exploding "${tiny[@]}" --device cpu --out file; complains file
expect 1 run exploding "${tiny[@]}" --device cpu --out file/below; complains file
[ "$(cat file)" = precious ] || fail "a file in the way was damaged"
if [ "$(id -u)" != 0 ]; then
  mkdir -m 555 locked
  expect 1 run exploding "${tiny[@]}" --device cpu --out locked; complains locked
fi
"$dlf" list >/dev/full 2>stderr; [ $? = 1 ] || fail "list >/dev/full: not exit 1"
grep -q 'standard output' stderr || fail "no sentence about a full stdout"
: >stdout
# An earlier result survives a disk that is full now: a 1 kB limit refuses even the probe.
cp a/exploding/result.json before.json
(ulimit -f 1; exec "$dlf" run exploding "${tiny[@]}" --device cpu --out a) >stdout 2>stderr
[ $? = 1 ] || fail "run beyond a file size limit: not exit 1"
complains a/
cmp -s before.json a/exploding/result.json || fail "a failed run damaged the earlier result"
# A reader that is gone is no error.
gone() {
  (sleep 0.3; "$dlf" "$@" 2>stderr; echo $? >code) | true
  [ "$(cat code)" = 0 ] || fail "dlf $* into a closed pipe: exit $(cat code)"
  if [ -s stderr ]; then fail "dlf $* into a closed pipe complains"; fi
}
gone list
gone plot a/exploding --format term

# One experiment fails, the others run, the exit code tells.
mkdir -p c; echo x >c/vanishing
small=(--set width=16 --set depth=3 --set steps=10 --seeds 1 --no-plot --device cpu)
expect 1 run vanishing exploding "${small[@]}" --out c
says 'Wrote c/exploding/'; grep -q vanishing stderr || fail "the failure does not say where"
[ "$(wc -l <stderr)" = 2 ] || fail "not one line at the failure and one at the end"
grep -q '1 of 2 runs failed' stderr || fail "no count of failures"
grep -q '^Q7' stdout && fail "vanishing was computed although there is no place for it"

# ---- Ctrl-C --------------------------------------------------------------------------------------------------

# interrupt DIR EXPERIMENT...: start a long run and press Ctrl-C once; the exit code is left in $code.
interrupt() {
  local dir=$1 pid try
  shift
  set -m # background jobs of a script ignore SIGINT; with job control they do not
  "$dlf" run "$@" --full --no-plot --device cpu --out "$dir" --set activation=tanh --set width=64 \
    --set steps=100000 >stdout 2>stderr &
  pid=$!
  set +m
  # Its directory is made after the handler is in place.
  for _ in {1..300}; do
    [ -e "$dir/exploding" ] && break
    sleep 0.1
  done
  sleep 1
  kill -INT $pid
  # Sixty seconds to obey. Not by a `sleep 60` in the background: it would outlive this script and
  # hold its output open, which ctest waits for.
  for try in {1..600}; do
    kill -0 $pid 2>/dev/null || break
    [ "$try" = 600 ] && kill -KILL $pid
    sleep 0.1
  done
  wait $pid
  code=$?
}

interrupt ctrl exploding vanishing
[ $code = 130 ] || fail "after Ctrl-C: exit $code, expected 130"
grep -q interrupted stderr || fail "Ctrl-C: no sentence"
grep -q '"complete": false' ctrl/*/result.json || fail "Ctrl-C: no partial result"
[ ! -e ctrl/vanishing ] || [ -e ctrl/exploding/result.json ] || fail "Ctrl-C: the finished result is gone"

cp -r a rerun # holds a complete run of exploding
interrupt rerun exploding
[ $code = 130 ] || fail "Ctrl-C in a rerun: exit $code, expected 130"
grep -q '"complete": true' rerun/exploding/result.json || fail "an interrupted rerun replaced a complete result"
grep -q '"complete": false' rerun/exploding/interrupted/result.json || fail "the interrupted rerun was not kept"

# ---- explain --------------------------------------------------------------------------------------------------

expect 0 explain graph Q7; says logits; says 'lower bound'
expect 0 explain graph vanishing --format dot; says digraph
expect 0 explain column 'of copy' --lang zh; says '同一轮中'
expect 2 explain column 'of copies'; complains "did you mean 'of copy'?"
expect 2 explain; complains 'graph'
expect 2 explain graph; complains 'experiment'
expect 2 explain graph nothing; complains 'nothing'
expect 2 explain graph Q7 --format png; complains "'png'"
expect 0 explain conv1x1 128x64x56x56 256 --gpu H200; says 'version    3'; says 'memory-bound'
expect 0 explain conv1x1 8x64x7x7 64 --gpu T4 --dtype f16; says '7.5'
expect 2 explain conv1x1 128x64x56 256; complains 'NxCxHxW'
expect 2 explain conv1x1 128x64x56x56 256 --gpu Voodoo; complains 'H200'

# ---- plot, doctor ----------------------------------------------------------------------------------------------

expect 3 plot nowhere; complains nowhere
echo '{' >broken.json
expect 3 plot broken.json; complains broken.json
expect 3 plot /dev/null; complains /dev/null
expect 2 plot; complains result
expect 2 plot a/exploding b/exploding; complains 'too many'
expect 2 plot a/exploding --format gif; complains gif
expect 2 plot a/exploding --figure nothing; complains nothing
expect 0 plot a/exploding --format term; [ -s stdout ] || fail "plot --format term draws nothing"
with LC_ALL=C COLUMNS=60 expect 0 plot a/exploding/result.json --format=term --lang en
if command -v gnuplot >/dev/null; then
  figure=$(sed -n '/"figures"/,$s/.*"id": "\([a-z0-9_]*\)".*/\1/p' a/exploding/result.json | head -n 1)
  "$dlf" plot a/exploding --figure "$figure" --format svg --lang en --out figures >stdout 2>stderr ||
    fail "plot --figure $figure"
  [ -s "figures/$figure.en.svg" ] || fail "no figures/$figure.en.svg"
fi

"$dlf" doctor --device cpu >stdout 2>stderr || fail "doctor: exit $?"
says 'GB/s'; says 'GFLOP/s'; says 'digits: inside the binary'
: >sets/train-images-idx3-ubyte
"$dlf" doctor --device cpu --data sets >stdout 2>stderr || fail "doctor --data: exit $?"
says 'fashion-mnist: sets'; says 'no cifar-10'
rm sets/train-images-idx3-ubyte
"$dlf" doctor --device cpu --data sets >stdout 2>stderr || fail "doctor --data: exit $?"
says 'apt-get install dataset-fashion-mnist'
"$dlf" doctor --device cpu --json >stdout 2>stderr || fail "doctor --json: exit $?"
expect_json 1

# Reported, not asserted: other work on the machine decides.
start=$(date +%s%N)
"$dlf" list >stdout
echo "start-up: $((($(date +%s%N) - start) / 1000000)) ms for dlf list"

all_hold
