/* SPDX-License-Identifier: MIT
 * words.h -- what `dlf run`, `list` and `doctor` say, in both languages. Help is in help.c. */
#ifndef DLF_CLI_WORDS_H
#define DLF_CLI_WORDS_H
#include "dlf/result.h"

/* name, Chinese, English */
#define CLI_WORDS(X)                                                                               \
    X(EXPECTED, "预期", "expected")                                                                \
    X(NOT_FINITE_, "NaN 或无穷", "NaN or infinite")                                                \
    X(SEEDS, "个随机种子", "seeds")                                                                \
    X(SEED, "种子", "seed")                                                                        \
    X(SELF_CHECKS, "自检通过", "self-checks hold")                                                 \
    X(FAILED, "自检失败", "SELF-CHECK FAILED")                                                     \
    X(PARTIAL, "已中断：以下只是部分结果", "interrupted: what follows is a partial result")        \
    X(WROTE, "已写入", "Wrote")                                                                    \
    X(FIGURES, "幅图", "figures")                                                                  \
    X(NEXT, "下一步", "Next")                                                                      \
    X(ID, "编号", "ID")                                                                            \
    X(LEVEL, "级别", "LEVEL")                                                                      \
    X(EXPERIMENT, "实验", "EXPERIMENT")                                                            \
    X(STATUS, "状态", "STATUS")                                                                    \
    X(QUESTION, "问题", "QUESTION")                                                                \
    X(QUESTIONS, "问题", "QUESTIONS")                                                              \
    X(CLAIM, "论断", "CLAIM")                                                                      \
    X(READY, "可运行", "ready")                                                                    \
    X(PLANNED, "计划中", "planned")                                                                \
    X(PARAMETER, "参数", "PARAMETER")                                                              \
    X(RANGE, "取值", "RANGE")                                                                      \
    X(QUICK, "快速", "QUICK")                                                                      \
    X(FULL, "完整", "FULL")                                                                        \
    X(UNIT, "单位", "UNIT")                                                                        \
    X(MEANING, "含义", "MEANING")                                                                  \
    X(MEASURED, "实测", "MEASURED")                                                                \
    X(VERDICT, "结论", "VERDICT")                                                                  \
    X(SUPPORTED_, "支持", "supported")                                                             \
    X(REFUTED_, "不成立", "refuted")                                                               \
    X(DEPENDS_, "视情况", "depends")                                                               \
    X(DEFINITIONAL_, "属于定义", "definitional")                                                   \
    X(UNDECIDED_, "未定（种子少于 3）", "undecided (fewer than 3 seeds)")

#define X(name, zh, en) static const dlf_text CLI_##name __attribute__((unused)) = {zh, en};
CLI_WORDS(X)
#undef X

#endif
