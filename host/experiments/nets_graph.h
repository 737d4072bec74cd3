/* SPDX-License-Identifier: MIT
 * nets_graph.h -- lists of layers (nets.h) as graphs, and populations of them trained. */
#ifndef DLF_NETS_GRAPH_H
#define DLF_NETS_GRAPH_H
#include "dlf/data.h"
#include "dlf/experiment.h"
#include "nets.h"

typedef struct net_shape {
    int members, batch, c, h, w; /* x (members,batch,c,h,w) */
} net_shape;

/* x -> the layers of n, which net_count has walked with (c,h,w) -> "logits" -> mean cross-entropy
 * with "label". Convolutions and dense layers start from He's normal draws (LeCun's without relu),
 * biases at 0. The last layer is a dense one. Compiled, not drawn. */
DLF_MUST_CHECK dlf_status net_graph_new(dlf_graph **out, dlf_device *device, const net *n,
                                        const net_shape *shape);

/* ---- small ones, nets_small.c ---------------------------------------------------------------- */

typedef enum net_block {
    NET_BLOCK_PLAIN,     /* 3x3, 3x3                                                            */
    NET_BLOCK_RESIDUAL,  /* x + the same                                                        */
    NET_BLOCK_INCEPTION, /* 1x1 | 1x1, 3x3 | 1x1, 5x5 | pool, 1x1                               */
    NET_BLOCK_DENSE,     /* twice [x, 3x3 of x], then 1x1 back to the width                      */
    NET_BLOCK_DEPTHWISE, /* twice depthwise 3x3, 1x1                                            */
    NET_BLOCKS
} net_block;

/* 3x3 stem of `width` maps, pooling 2, two blocks, mean over positions, dense. Batch norm and relu
 * behind every convolution. */
void net_of_blocks(net *n, net_block block, int width, int classes);
/* The width that brings its multiply-adds on (1,side,side) next to `macs`. step: by how much one
 * channel more or less changes them there; as long as the width is not at an end, they are at most
 * half a step off. */
enum { NET_NARROWEST = 2, NET_WIDEST = 128 };
DLF_MUST_CHECK dlf_status net_width_for(int *width, int64_t *step, net_block block, int64_t macs,
                                        int side, int classes);

/* The same stem and end; two residual blocks of one 3x3, or of 1x1 to `reduce`, 3x3, 1x1 back (0:
 * none). */
void net_bottleneck(net *n, int width, int reduce, int classes);

/* For 1x28x28. LeNet-5 with padding 2 for its 32x32; a residual network of as many multiply-adds;
 * a linear classifier. */
void net_lenet5_28(net *n, int classes);
void net_resnet_28(net *n, int classes);
void net_linear(net *n, int classes);

/* ---- training, nets_train.c ------------------------------------------------------------------ */

typedef struct net_job {
    const char *what; /* shown as progress */
    void (*build)(net *n, const void *how);
    const void *how;
    const dlf_dataset *data;
    int batch, steps;
    int looks; /* evaluations, evenly spaced; the last after the last step */
    double lr; /* Adam's, at the start; falls to 0 along a cosine */
    uint64_t seed;
} net_job;

enum { NET_LOOKS = 16 };

typedef struct net_outcome {
    double *test;               /* (looks, seeds): accuracy on the test rows; caller's */
    net_totals sum;             /* of the list */
    int step[NET_LOOKS];        /* steps done at each look */
    double image_us[NET_LOOKS]; /* processor (on a GPU: wall) time per image and step since the last
                                   look: forward, backward, update */
    int64_t parameters, macs; /* of one member; macs: forward, per image, as the graph counts     */
    int64_t bytes; /* of one member: planned block, parameters and gradients            */
} net_outcome;

/* Build the list, count it with the data's images, and train one network per seed of the run, all
 * together, each with its own draw and order. */
DLF_MUST_CHECK dlf_status net_train(dlf_run *run, const net_job *job, net_outcome *out, double from,
                                    double to);

#endif
