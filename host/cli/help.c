/* SPDX-License-Identifier: MIT
 * help.c -- `dlf` alone, `dlf help X` and `dlf X --help`, made from the commands' own tables. */
#include <string.h>

#include "cli/commands.h"

static const dlf_text overview[] = {
    {"dlf —— 用实验回答深度学习问题：运行、测量、与理论比较、画图。\n",
     "dlf answers questions about deep learning by running them: measured, with theory beside.\n"},
    {"  dlf run Q7             运行问题 Q7 的实验，结果写入 out/\n",
     "  dlf run Q7             run the experiment of question Q7; results go to out/\n"},
    {"  dlf list               全部问题，以及哪些已有实验\n",
     "  dlf list               all questions, and which have an experiment\n"},
    {"命令：list  run  plot  report  explain  doctor  help\n",
     "Commands: list  run  plot  report  explain  doctor  help\n"},
    {"dlf help 命令 先给示例再给参数；dlf --version 显示版本。\n",
     "dlf help COMMAND shows examples, then flags; dlf --version the version.\n"},
    {"退出码：0 完成 1 内部 2 用法 3 输入不可读 4 无可用设备 5 数值自检失败 130 中断\n",
     "Exit codes: 0 done, 1 internal, 2 usage, 3 bad input, 4 no device, 5 self-check, 130 "
     "Ctrl-C\n"},
};

void cli_print_overview(FILE *out, const cli_language *language)
{
    for (size_t i = 0; i < sizeof overview / sizeof overview[0]; i++)
        fputs(cli_say(language, overview[i]), out);
}

enum { HELP_COLUMN = 38 };

static void print_flag(FILE *out, const cli_flag *flag, const cli_language *language)
{
    char left[96];
    const char letter[] = {'-', flag->letter, ',', ' ', '\0'};
    snprintf(left, sizeof left, "  %s--%s%s%s", flag->letter ? letter : "", flag->name,
             flag->value ? " " : "", flag->value ? flag->value : "");
    cli_print_cell(out, left, HELP_COLUMN);
    if (strlen(left) >= HELP_COLUMN) fprintf(out, "\n%*s", HELP_COLUMN, "");
    fprintf(out, "%s\n", cli_say(language, flag->help));
}

void cli_print_help(FILE *out, const cli_command *command, const cli_language *language)
{
    const char *details = cli_say(language, command->details);
    fprintf(out, "%s\n\n%s", cli_say(language, command->summary), command->examples);
    fprintf(out, "\ndlf %s %s\n", command->name, command->synopsis);
    for (const cli_flag *f = command->flags; f->name; f++) print_flag(out, f, language);
    if (*details) fprintf(out, "\n%s\n", details);
}
