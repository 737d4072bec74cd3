#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cli_bench.sh DLF SOURCE -- `dlf bench` and `dlf compare` as a user meets them.
# shellcheck source=tests/cli_common.sh
. "$(dirname "$(realpath "$0")")/cli_common.sh"

# ---- bench, compare ------------------------------------------------------------------------------------------

expect 0 bench --list; says 'suite resnet50'; says 'batch_norm infer f32 nhwc 8x512x7x7'
expect 2 bench layernorm; complains "did you mean 'layer_norm'"
expect 2 bench --suite tiny; complains "'tiny'"
expect 2 bench --filter '('; complains 'regular expression'
expect 2 bench --mode warm; complains "'warm'"
expect 2 bench --distort zero; complains 'zeros'
expect 2 bench --json --csv; complains 'exclude'
expect 2 bench gelu --against nobody --list --rounds 2; complains '3'
quick=(--device cpu --rounds 5 --time 5 --quiet)
expect 0 bench layer_norm --filter '64x64$' "${quick[@]}" --out bench.json --plot bench_plots; says 'layer_norm backward f32 64x64'; says 'bench.json'
says 'roof, cold, '
[ -s bench_plots/roofline.en.svg ] || fail 'no roofline'
expect 0 bench relu --filter 'forward .*16384' "${quick[@]}" --no-ceilings; says 'relu'; ! grep -q roof stdout || fail 'ceilings'
expect 0 bench --show bench.json --csv; says 'layer_norm forward f32 64x64,layer_norm,layer_norm,forward,f32,nchw,0,dlf,cold,5,'
expect 0 bench --show bench.json --markdown; says '| layer_norm forward f32 64x64 |'
expect 0 bench --show bench.json --json; says '"schema": "dlf.bench/1"'
expect 0 bench --show bench.json,bench.json --ops --out joined.json; says '| layer norm forward | 1 |'
expect 0 bench --show bench.json --ledger; says '| layer_norm | layer_norm | 2 | 2 of 2 right, worst '; says '(cpu), commit '
expect 2 bench --show bench.json --ops --ledger; complains 'exclude each other'
expect 0 bench --show "$source/bench/results/cpu-xeon-emerald-rapids/norms_activations.json" --ops
[[ $(<"$source/README.md") == *"$(<stdout)"* ]] || fail "README's table is another one"
for op in conv1x1 conv1x1_packed; do # all rows in a page of their own, what they come to in the README
  expect 0 bench --show "$source/bench/results/cpu-xeon-emerald-rapids/$op.json" --peers
  [[ $(<"$source/docs/conv1x1-cpu.md") == *"$(<stdout)"* ]] || fail "docs/conv1x1-cpu.md has another table of $op"
  [[ $(<"$source/README.md") == *"$(tail -n 1 stdout)"* ]] || fail "the README says something else of $op"
done
expect 0 compare bench.json bench.json --why --fail-on slower; says 'no difference beyond the intervals'
expect 2 bench relu "${quick[@]}" --against cudn; complains "did you mean 'cudnn'"
# A peer that is not here is one line, and no failure.
"$dlf" bench conv1x1_relu --filter 'nhwc 4x32' "${quick[@]}" --against unfused,cudnn >stdout 2>stderr || fail 'bench --against'
complains 'peer cudnn: not available here: it needs --device cuda'; says ' unfused '
"$dlf" bench relu --filter 'forward .*16384' "${quick[@]}" --against liger >stdout 2>stderr || fail 'bench --against'
complains 'peer liger: not available here: it needs --device cuda'
expect 2 bench relu "${quick[@]}" --against ligre; complains "did you mean 'liger'"
expect 0 bench --help; says 'liger,quack'
expect 0 bench relu --device cpu --filter 'forward .*16384' --profile 2; says 'relu forward f32 16384: 2 calls'
expect 2 bench relu --profile 0; complains '--profile'
# What cannot be written is told before anything is timed; a full disk does not take the table along.
for bad in nothing/x.json .; do
  expect 1 bench all --suite gpu --device cpu --out $bad; complains 'cannot write'
done
expect 1 bench all --suite gpu --device cpu --plot /dev/null/x; complains 'cannot create directory'
(ulimit -f 8; trap '' XFSZ; "$dlf" bench relu "${quick[@]}" --out big.json) >stdout 2>stderr && fail 'a full disk'
complains 'big.json'; says 'relu backward f32 1048576'; [ ! -e big.json ] || fail 'half a file'
expect 2 bench relu --show bench.json; complains "'relu' does not go with it"
expect 2 bench --show bench.json --filter relu; complains '--filter does not go with it'
head -c 900 bench.json >half.json
expect 3 bench --show half.json; complains 'half.json'
expect 3 compare half.json bench.json; complains 'half.json'
expect 0 bench relu --filter 'forward .*16384' "${quick[@]}" --against copy; says 'relu'
expect 2 bench --filter '('; complains 'no regular expression'
expect 2 bench layernrom; complains "did you mean 'layer_norm'"
"$dlf" bench norm --device cpu --quiet --no-ceilings --out cut.json >stdout 2>stderr & pid=$!
sleep 3; kill -TERM $pid; got=0; wait $pid || got=$?
[ $got = 130 ] || [ $got = 143 ] || fail "terminated: exit $got"
complains 'interrupted'
expect 0 bench --show cut.json
expect 5 bench relu --filter 'forward .*16384' "${quick[@]}" --distort wrong; complains 'relu forward f32 16384: off by'
expect 3 compare bench.json nothing.json; complains 'nothing.json'
expect 2 compare; complains 'two results'
expect 3 compare bench.json; complains 'without --baseline'
expect 0 bench relu --filter 'forward .*16384' "${quick[@]}" --baseline "$dlf" --out both.json; says 'now / before'
expect 0 compare both.json --why; says 'before'
expect 2 bench relu --filter 'forward .*16384' "${quick[@]}" --baseline ./nothing; complains 'the peer before does not work'

all_hold
