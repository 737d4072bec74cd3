/* SPDX-License-Identifier: MIT
 * bench_store.h -- stored measurements of kernels, for experiments that speak of cost: the JSON
 * files in bench/results/DEVICE, reports of `dlf bench`, or what a script before it wrote. */
#ifndef DLF_BENCH_STORE_H
#define DLF_BENCH_STORE_H
#include "dlf/experiment.h"

typedef struct bench_row {
    char name[96];  /* "batch_norm forward nchw 8x64x56x56" */
    double bytes;   /* what the algorithm moves             */
    double us;      /* median time of a call                */
    double of_copy; /* median of (time of copying as many bytes) / us */
} bench_row;

typedef struct bench_store {
    char name[64];    /* of the directory; "" if there is no store */
    char device[256]; /* as the measurement describes it           */
    bool this_device; /* is it the device of the run?              */
    bench_row *row;
    int rows;
} bench_store;

/* The stores are the directories in DATA/bench/results (DATA: --data), in bench/results of the
 * current directory, and in bench/results beside or above the program: the first of these that has
 * any. The store of this device is taken, else the first by name, with this_device false. None, or
 * none that can be read: rows = 0, and no error.  errors  DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status bench_store_find(bench_store *out, const dlf_run *run);
void bench_store_free(bench_store *s);

/* Read one file; `device` as in bench_store.device. What is not as expected is left out.
 *   errors  DLF_ERR_INPUT  not JSON, or not of this kind;  DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status bench_store_read(bench_store *out, const char *path);

#endif
