/* SPDX-License-Identifier: MIT
 * cmd_explain.c -- `dlf explain`: show what is behind a run. So far: the computational graph. */
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
    DLF_TRY(cli_at_most(a, 2));
    if (a->n_words < 1 || strcmp(a->words[0], "graph") != 0)
        return dlf_fail(DLF_ERR_ARG, "dlf explain: so far it explains 'graph': dlf explain graph "
                                     "EXPERIMENT");
    if (!dot && strcmp(format, "text") != 0)
        return dlf_fail(DLF_ERR_ARG, "dlf explain: --format is text or dot, not '%.40s'", format);
    if (a->n_words < 2)
        return dlf_fail(DLF_ERR_ARG, "dlf explain graph needs an experiment or a question: dlf "
                                     "explain graph Q7");
    DLF_TRY(cli_find_experiment(&e, a->words[1]));
    return print_graph(e, cli_value(a, "device", "cpu"), dot);
}

static const cli_flag flags[] = {
    CLI_FLAG("format", 0, "text|dot", "文字表格，或 Graphviz 的 DOT；默认 text",
             "a table, or DOT for Graphviz; default text"),
    CLI_FLAG("device", 'd', "DEVICE", "在哪个设备上规划内存，默认 cpu",
             "the device to plan memory for, default cpu"),
    CLI_FLAG_LANG,
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_explain = {
    .name = "explain",
    .synopsis = "graph EXPERIMENT|QUESTION [flags]",
    .summary = {"打印一个实验的计算图：节点、形状、计算量、内存规划",
                "print an experiment's computational graph: nodes, shapes, cost, memory plan"},
    .examples = "  dlf explain graph Q7\n"
                "  dlf explain graph vanishing --format dot | dot -Tsvg > graph.svg\n",
    .details = {"", ""},
    .flags = flags,
    .run = run};
