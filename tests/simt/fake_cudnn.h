/* SPDX-License-Identifier: MIT
 * fake_cudnn.h -- what the files of the stand-in for cuDNN share. */
#ifndef FAKE_CUDNN_H
#define FAKE_CUDNN_H
#include "fake_data.h"

enum { SUCCESS = 0, BAD_PARAM = 2000, NOT_SUPPORTED = 3000 };
enum { WORKSPACE = 4096 };

typedef struct descriptor {
    char kind; /* t, f, c, a */
    bool set;
    int format, n, c, h, w; /* of a filter: outputs, channels of a group, R, S */
    fake_type type;
    int pad[2], stride[2], dilation[2], groups, math; /* math -1: not set */
} descriptor;

bool fake_is_handle(const void *handle);
/* Descriptors that live, +1 or -1; cudnnDestroy wants none. */
void fake_count(int change);

/* Four axes N, C, H, W of any order in memory; size 1: the same for every index of that axis. */
typedef struct fake_view {
    long size[4], stride[4];
    fake_type type;
    void *data;
} fake_view;

typedef struct fake_norm {
    fake_view x, y, dy, dx, scale, bias, mean, rstd, dscale, dbias; /* rms: mean.data NULL */
    double epsilon;
} fake_norm;

/* The memory must be open. */
bool fake_norm_forward(const fake_norm *n);
bool fake_norm_backward(const fake_norm *n);
#endif
