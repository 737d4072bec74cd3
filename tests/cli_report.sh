#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cli_report.sh DLF SOURCE -- `dlf report`: pages of stored results, whole, damaged and hostile.
# shellcheck source=tests/cli_common.sh
. "$(dirname "$(realpath "$0")")/cli_common.sh"

has() { grep -qF -- "$2" "$1" || fail "$1 lacks '$2'"; }
lacks() { if grep -qF -- "$2" "$1"; then fail "$1 has '$2'"; fi; }

# ---- two results ----------------------------------------------------------------------------------------

# The two experiments that compute least.
for each in conv-equals-fc norm-axes; do
  expect 0 run "$each" --quick --seeds 2 --no-plot --device cpu --out a
done
expect 0 report a; says 'a/report.html'; says 'of 46 questions 2'
page=a/report.html
has $page 'Q47'; has $page 'no stored result'; has $page '<a href="#q22">Q22</a>'
[ "$(grep -c '<tr.*<td>\(Q\|<a href="#q\)' $page)" = 46 ] || fail "an index of 46 questions"
[ "$(grep -c '^<section id=' $page)" = 2 ] || fail "a section for each question answered"
grep -n 'Q22</a><span\|Q33</a><span' $page | grep -c h2 | grep -qx 2 || fail "headings of Q33 and Q22"
has $page '如何判断深度学习模型中存在梯度消失问题'; has $page 'id="show-zh"'; has $page '一句话结论'
has $page "default-src 'none'"; has $page 'undecided'; has $page '2 <span class="zh" lang="zh-CN">个随机种子'
has $page '<math'; has $page ': —]'
lacks $page '<script'; lacks $page 'class="tex"'; lacks $page '{{'
if grep -oE '(src|href)="[^"]*"' $page | grep -vE '="(#q[0-9]+|data:|https?://)' | grep -q .; then
  fail "the page needs another file"
fi

# Same results, same bytes; the directory itself, and one result of it; one language.
cp $page before
expect 0 report a; cmp -s $page before || fail "the page differs the second time"
(cd a && "$dlf" report . >/dev/null) || fail "report . does not work"
expect 0 report a/norm-axes --lang en --out one.html
has one.html '<html lang="en">'; has one.html 'href="#q33"'
lacks one.html 'href="#q22"'; lacks one.html '中文'; lacks one.html '梯度'; lacks one.html 'Q47'
expect 0 report a --lang zh --out zh.html; says '已写入'; has zh.html '<html lang="zh-CN">'
lacks zh.html 'id="show-en"'; lacks zh.html 'no stored result'
mkdir out
cp -r a/norm-axes out/
expect 0 report; [ -s out/report.html ] || fail "out/ by default"
[ "$(find out -type f | wc -l)" = $(($(find a/norm-axes -type f | wc -l) + 1)) ] || fail "report writes one file"

# ---- figures --------------------------------------------------------------------------------------------

figure=$(grep -o '([a-z_]*\.en\.svg)' a/norm-axes/answer.en.md | head -n 1 | tr -d '()')
[ -n "$figure" ] || fail "the answer has no figure"
printf '<svg onload="x"><script>alert(1)</script></svg>' >"a/norm-axes/$figure"
expect 0 report a/norm-axes --lang en --out one.html
has one.html "src=\"data:image/svg+xml;base64,$(base64 -w 0 "a/norm-axes/$figure")\""
lacks one.html 'alert(1)'
for n in 1 2 3; do # padding of base64
  head -c $((30 + n)) /dev/zero | tr '\0' x >"a/norm-axes/$figure"
  expect 0 report a/norm-axes --lang en --out one.html
  has one.html "base64,$(base64 -w 0 "a/norm-axes/$figure")\""
done

# ---- damaged and hostile --------------------------------------------------------------------------------

cp -r a b
echo '{"schema":"dlf.result/1"' >b/conv-equals-fc/result.json
mkdir b/losses b/notes
expect 3 report b
[ "$(wc -l <stderr)" = 3 ] || fail "one line for each damage and one at the end"
has stderr 'b/conv-equals-fc/result.json'; has stderr 'b/losses/result.json'; has stderr 'b/report.html'
has b/report.html 'b/conv-equals-fc/result.json'; has b/report.html 'b/losses'; lacks b/report.html 'b/notes'
has b/report.html 'id="q33"'; lacks b/report.html 'id="q22"'
rm -r b/losses b/conv-equals-fc
mkfifo b/norm-axes/pipe; mv b/norm-axes/pipe b/norm-axes/answer.zh.md
# (a pipe nobody writes to: whoever reads it waits for ever)
expect 3 report b; has stderr 'answer.zh.md is not a file'; has b/report.html '没有存储中文的回答'
has b/report.html '<details open>'
rm b/norm-axes/answer.zh.md
echo secret | tee b/secret.svg >secret.svg
cat >b/norm-axes/answer.en.md <<'END'
# Q33 x
<script>alert(1)</script> <img src=x onerror=alert(2)>
![a" onerror="alert(3)](../secret.svg) ![b](/etc/passwd) ![c](../../b/secret.svg) ![c](../../secret.svg) [d](javascript:alert)
END
expect 0 report b
lacks b/report.html '<script'; lacks b/report.html '<img'; lacks b/report.html '="alert'
lacks b/report.html '"javascript'; lacks b/report.html "$(printf secret | base64)"
has b/report.html '&lt;script&gt;'
sed -i 's/"command": *"[^"]*"/"command":"<script>x<\/script>"/' b/norm-axes/result.json
expect 0 report b; lacks b/report.html '<script'; has b/report.html '&lt;script&gt;x'

# ---- command lines and places -----------------------------------------------------------------------------

expect 3 report nowhere; complains nowhere
mkdir empty
expect 3 report empty; complains 'no stored result in empty'; [ ! -e empty/report.html ] || fail "an empty page"
expect 3 report stdout; complains stdout
expect 2 report a b; complains 'one argument too many'
expect 2 report a --lang fr; complains "'fr'"
expect 2 report a --fast; complains "'--fast'"
expect 1 report a --out nowhere/page.html; complains nowhere
if [ "$(id -u)" != 0 ]; then
  mkdir -m 000 locked
  expect 3 report locked; complains locked
fi
cp a/report.html before
(ulimit -f 1; exec "$dlf" report a) >stdout 2>stderr
[ $? = 1 ] || fail "report beyond a file size limit: not exit 1"
complains a/report.html
cmp -s before a/report.html || fail "a failed report damaged the earlier one"
[ "$(find a -mindepth 1 -maxdepth 1 | wc -l)" = 3 ] || fail "a failed report leaves debris"

all_hold
