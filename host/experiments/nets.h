/* SPDX-License-Identifier: MIT
 * nets.h -- convolutional networks of the literature as lists of layers, and the one counter that
 * walks such a list with the shapes.
 *
 *   net *n = net_new();
 *   CONV(n, 96, 11, .stride = 4);            // each layer reads the one before it
 *   POOL(n, 3, 2);
 *   const int x = net_here(n);               // a branch: remember ...
 *   CONV(n, 64, 1); CONV(n, 64, 3, .pad = 1);
 *   const int f = net_here(n);
 *   net_from(n, x);                          // ... and go back
 *   CONV(n, 64, 1);
 *   net_sum(n, f);                           // or net_concat(n, f)
 *   DLF_TRY(net_count(n, 3, 227, 227, &sum));
 *
 * What is counted, C in, K out channels, k kernel, HW positions of the output:
 *
 *   convolution   parameters K (C/groups) k^2 (+ K biases)   multiply-adds  K (C/groups) k^2 HW
 *   dense         parameters K C (+ K)                       multiply-adds  K C
 *   batch norm    parameters 2C (scale and shift)            multiply-adds  none, as it folds away
 *   pooling, sum, concatenation                              nothing
 *
 * Counters disagree on biases, norms and pooling; these are the rules of the papers and of
 * torchvision's "GFLOPS" (which are multiply-adds). */
#ifndef DLF_NETS_H
#define DLF_NETS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dlf/status.h"

typedef enum net_kind {
    NET_CONV,
    NET_NORM,
    NET_POOL,
    NET_GLOBAL_POOL, /* mean over all positions */
    NET_DENSE,
    NET_SUBSAMPLE, /* LeNet-5: sum of 2x2, times one coefficient, plus one bias per map */
    NET_SUM,
    NET_CONCAT
} net_kind;

/* What is not named is 0; stride and groups 0 stand for 1. */
typedef struct net_layer {
    net_kind kind;
    int channels, kernel, stride, pad, groups;
    int links;      /* conv that reads some maps only (LeNet-5's C3): pairs of maps; 0: all      */
    bool no_bias;   /* conv, dense                                                              */
    bool fixed;     /* dense whose weights are not trained (LeNet-5's output)                   */
    bool ceil;      /* pool: the last, incomplete window counts too                             */
    bool average;   /* pool: mean, not maximum; counts are the same                             */
    bool relu;      /* afterwards; only in lists that net_graph is to build                     */
    int from, with; /* layers that it reads, -1: the input; `with` for sum and concat only     */

    /* filled by net_count */
    int c, h, w;                      /* of the output                              */
    int64_t parameters, biases, macs; /* as above; biases are among the parameters  */
    int64_t statistics,
        connections; /* running mean and variance; LeCun's connections: multiply-adds
                        and additions of a bias or of a pooled pixel */
} net_layer;

typedef struct net net;

net *net_new(void); /* NULL: out of memory */
void net_free(net *n);
void net_add(net *n, net_layer layer); /* reads the current layer and becomes it */
int net_here(const net *n);            /* the current layer; -1: the input */
void net_from(net *n, int layer);      /* makes it the current one */
void net_sum(net *n, int other);
void net_sum_relu(net *n, int other);
void net_concat(net *n, int other); /* other's channels first: order does not count */
int net_layers(const net *n);
const net_layer *net_layer_at(const net *n, int layer);
int64_t net_inputs(const net *n); /* c h w of the last net_count */

#define CONV(n, k, size, ...)                                                                      \
    net_add(n, (net_layer){.kind = NET_CONV, .channels = (k), .kernel = (size), __VA_ARGS__})
#define DENSE(n, k, ...) net_add(n, (net_layer){.kind = NET_DENSE, .channels = (k), __VA_ARGS__})
#define POOL(n, size, step, ...)                                                                   \
    net_add(n, (net_layer){.kind = NET_POOL, .kernel = (size), .stride = (step), __VA_ARGS__})
#define NORM(n, ...)   net_add(n, (net_layer){.kind = NET_NORM, __VA_ARGS__})
#define GLOBAL_POOL(n) net_add(n, (net_layer){.kind = NET_GLOBAL_POOL})

typedef struct net_totals {
    int64_t parameters, macs, statistics, connections;
    int64_t pointwise_parameters, pointwise_macs; /* of dense 1x1 convolutions                */
    int64_t dense_parameters;                     /* of fully connected layers                */
    int64_t norm_parameters, biases;
    int weighted; /* convolutions and dense layers, the depth that names count where there is one
                     path */
} net_totals;

/* Walk the list from an input (c,h,w).
 *   errors  DLF_ERR_SHAPE  a layer does not fit what it reads: says which
 *           DLF_ERR_OOM    while the list was built */
DLF_MUST_CHECK dlf_status net_count(net *n, int c, int h, int w, net_totals *out);

/* ---- the networks --------------------------------------------------------------------------- */

typedef struct net_info {
    const char *id, *name, *family; /* "resnet50", "ResNet-50", "resnet" */
    int year;
    void (*build)(net *n, int variant);
    int variant;
    int channels, side; /* of the input                                                        */
    int64_t parameters; /* published, to the digit                                             */
    const char *source; /* by whom                                                             */
    double gmacs;       /* published multiply-adds, 1e9; 0: none                               */
    double last_digit;  /* unit of its last printed digit                                      */
    const char *macs_source;
} net_info;

extern const net_info net_infos[];
extern const int n_net_infos;
const net_info *net_find(const char *id);
/* Build and count. *out NULL: the totals alone. */
DLF_MUST_CHECK dlf_status net_build(const net_info *info, net **out, net_totals *totals);

/* Builders by file: nets_classic.c, nets_inception.c, nets_residual.c */
void net_lenet5_1998(net *n, int variant);
void net_lenet5_dense(net *n, int variant);
void net_alexnet_2012(net *n, int variant);
void net_alexnet_torchvision(net *n, int variant);
void net_vgg(net *n, int layers);
void net_vgg_convolutional(net *n, int layers); /* dense layers as 7x7 and 1x1 convolutions */
enum { NET_GOOGLENET_PAPER, NET_GOOGLENET_TORCHVISION };
void net_googlenet(net *n, int variant);
void net_squeezenet(net *n, int variant);
enum { NET_STRIDE_IN_1X1 = 1000 }; /* ResNet of the paper; + layers. Without: v1.5, stride in 3x3 */
void net_resnet(net *n, int layers);
void net_densenet121(net *n, int variant);
void net_mobilenet_v1(net *n, int variant);
void net_mobilenet_v2(net *n, int variant);
#endif
