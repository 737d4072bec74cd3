/* SPDX-License-Identifier: MIT
 * regressor.c -- one hidden layer of ReLU units on one target. */
#include "regressor.h"

dlf_status regressor_new(dlf_graph **out, dlf_device *device, int members, int batch, int inputs,
                         int width)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, batch, inputs});
    const dlf_node t = dlf_input(g, "target", 3, (int64_t[]){members, batch, 1});
    const dlf_node h = dlf_dense(g, "hidden", x, width, dlf_activation_of(DLF_RELU), dlf_he());
    const dlf_node y = dlf_dense(g, "output", h, 1, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    const dlf_loss mse = {.kind = DLF_LOSS_MSE};
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", y, t, mse), 1.0 / batch);
    const dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(g);
    *out = NULL;
    return status;
}
