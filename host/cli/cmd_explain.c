/* SPDX-License-Identifier: MIT
 * cmd_explain.c -- `dlf explain`: show what is behind a run: the computational graph, the choice of
 * a kernel. */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/selection.h"
#include "dlf/graph.h"

static dlf_status print_graph(const dlf_experiment *e, const char *device, bool dot)
{
    dlf_status status;
    dlf_device *dev = NULL;
    dlf_graph *g = NULL;
    char *text = NULL;
    size_t size = 0;
    if (!e->network)
        return dlf_fail(DLF_ERR_NOT_FOUND, "%s trains no network; dlf list shows the experiments",
                        e->slug);
    DLF_TRY_DONE(dlf_device_open(&dev, device));
    DLF_TRY_DONE(e->network(&g, dev));
    /* Through memory: a reader that closes the pipe early is no failure. */
    FILE *memory = open_memstream(&text, &size);
    if (!memory) {
        status = dlf_fail(DLF_ERR_OOM, "no memory for the graph's text");
        goto done;
    }
    status = dot ? dlf_graph_print_dot(g, memory) : dlf_graph_print(g, memory);
    if (fclose(memory) != 0 && status == DLF_OK)
        status = dlf_fail(DLF_ERR_OOM, "no memory for the graph's text");
    if (status == DLF_OK) fwrite(text, 1, size, stdout);
done:
    free(text);
    dlf_graph_free(g);
    dlf_device_close(dev);
    return status;
}

static dlf_status run(const cli_call *call)
{
    const cli_args *a = call->args;
    const char *format = cli_value(a, "format", "text");
    const bool dot = strcmp(format, "dot") == 0;
    const dlf_experiment *e = NULL;
    if (a->n_words > 0 && strcmp(a->words[0], "conv1x1") == 0) return cli_explain_conv1x1(a);
    DLF_TRY(cli_at_most(a, 2));
    if (a->n_words > 0 && strcmp(a->words[0], "column") == 0)
        return cli_explain_column(a->n_words > 1 ? a->words[1] : NULL, call->language);
    if (a->n_words < 1 || strcmp(a->words[0], "graph") != 0)
        return dlf_fail(DLF_ERR_ARG,
                        "dlf explain: it explains 'graph', 'conv1x1' and 'column': dlf "
                        "explain graph EXPERIMENT");
    if (!dot && strcmp(format, "text") != 0)
        return dlf_fail(DLF_ERR_ARG, "dlf explain: --format is text or dot, not '%.40s'", format);
    if (a->n_words < 2)
        return dlf_fail(DLF_ERR_ARG, "dlf explain graph needs an experiment or a question: dlf "
                                     "explain graph Q7");
    DLF_TRY(cli_find_experiment(&e, a->words[1]));
    return print_graph(e, cli_value(a, "device", "cpu"), dot);
}

static const cli_flag flags[] = {
    CLI_FLAG("format", 0, "text|dot|tsv",
             "文字；graph 可用 Graphviz 的 DOT，conv1x1 可用 TSV；默认 text",
             "text; DOT for Graphviz (graph), TSV (conv1x1); default text"),
    CLI_FLAG("device", 'd', "DEVICE", "在哪个设备上规划内存，默认 cpu",
             "the device to plan memory for, default cpu"),
    CLI_FLAG("gpu", 0, "NAME", "conv1x1：GPU 型号，默认 H200", "conv1x1: GPU, default H200"),
    CLI_FLAG("dtype", 0, "f32|tf32|f16|bf16", "conv1x1：数据类型，默认 bf16",
             "conv1x1: type, default bf16"),
    CLI_FLAG("op", 0, "forward|data|weight", "conv1x1：前向、对输入或对权重的梯度，默认 forward",
             "conv1x1: forward, data or weight gradient; default forward"),
    CLI_FLAG("stride", 0, "N", "conv1x1：步幅，默认 1", "conv1x1: stride, default 1"),
    CLI_FLAG_LANG,
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_explain = {
    .name = "explain",
    .synopsis = "graph EXPERIMENT|QUESTION | conv1x1 NxCxHxW K | column [NAME] [flags]",
    .summary =
        {"打印一个实验的计算图、1x1 卷积选用哪个核函数及原因，或基准测试各列的含义",
         "print an experiment's graph, which kernel a 1x1 convolution gets, or what a column says"},
    .examples = "  dlf explain graph Q7\n"
                "  dlf explain graph vanishing --format dot | dot -Tsvg > graph.svg\n"
                "  dlf explain column 'of copy'\n"
                "  dlf explain conv1x1 128x64x56x56 256 --dtype bf16 --gpu H200\n",
    .details = {"", ""},
    .flags = flags,
    .run = run};
