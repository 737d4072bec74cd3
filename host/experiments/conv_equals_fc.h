/* SPDX-License-Identifier: MIT
 * conv_equals_fc.h -- the parts of the experiment `conv-equals-fc` (Q22). */
#ifndef DLF_CONV_EQUALS_FC_H
#define DLF_CONV_EQUALS_FC_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_conv_fc_identities(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_conv_fc_shifts(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_conv_fc_counts(dlf_run *run, double from);
DLF_MUST_CHECK dlf_status dlf_conv_fc_windows(dlf_run *run, double from, double to);

/* A convolution without padding, stride 1. */
typedef struct dlf_conv_fc_map {
    int channels, maps, side, kernel;
} dlf_conv_fc_map;
static inline int dlf_conv_fc_out(dlf_conv_fc_map m)
{
    return m.side - m.kernel + 1;
}

/* The matrix T (maps out^2, channels side^2) with vec(conv(x, w)) = T vec(x), channels first:
 *   T[k,i,j; c,h,v] = w[k,c,h-i,v-j] where the kernel reaches, else 0.
 * w (maps,channels,kernel,kernel); `tied` false: w (maps,out,out,channels,kernel,kernel), own
 * weights at every position: a locally connected layer. */
void dlf_conv_fc_matrix(double *t, dlf_conv_fc_map m, const double *w, bool tied);

/* Share of entries that are not 0. */
double dlf_conv_fc_filled(const double *t, int64_t n);

/* A small network as graph: 3x3 to `maps`, relu, pooling 2, 3x3 to 2 maps, relu, pooling 2, then a
 * convolution as large as what a window of `window` positions leaves, to 10 maps, "out". x
 * (members,batch,1,side,side). Without padding a window is 18, with padding 1 it is 16. */
typedef struct dlf_conv_fc_net {
    int members, batch, side, maps;
    bool padded;
} dlf_conv_fc_net;
enum { DLF_CONV_FC_STEP = 4, DLF_CONV_FC_CLASSES = 10 };
static inline int dlf_conv_fc_window(bool padded)
{
    return padded ? 16 : 18;
}
DLF_MUST_CHECK dlf_status dlf_conv_fc_net_new(dlf_graph **out, dlf_device *device,
                                              const dlf_conv_fc_net *spec, bool loss);
#endif
