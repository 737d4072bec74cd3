/* SPDX-License-Identifier: MIT
 * subject.h -- a case with operands on a device, ready to be called. */
#ifndef DLF_BENCH_SUBJECT_H
#define DLF_BENCH_SUBJECT_H
#include "dlf/bench.h"

enum { SUBJECT_TENSORS = 16 };

typedef enum role { ABSENT, INPUT, OUTPUT, KEPT } role; /* KEPT: written by setup, read by call */

typedef struct bench_subject bench_subject;
struct bench_subject {
    dlf_device *device;
    dlf_bench_case c;
    bool zeros; /* operands are zeros (distortion) */
    dlf_tensor t[SUBJECT_TENSORS];
    role role[SUBJECT_TENSORS];
    dlf_norm norm;
    dlf_activation f;
    double bytes, bytes_moved, flops;
    double depth; /* terms of the longest sum of random signs; 0: what tolerances allow anyway */
    dlf_status (*call)(bench_subject *s);
    dlf_status (*setup)(bench_subject *s); /* once, before the first call; NULL: nothing */
    /* of a peer; NULL: nothing */
    void *plan;
    int way; /* 1 + the candidate that bench_fastest chose before and is to choose again; 0: none */
    void (*drop)(bench_subject *s);         /* releases the plan */
    dlf_status (*settle)(bench_subject *s); /* turns its outputs into those of the case, untimed */
};

/* Operands as the case says; the same numbers on every device (rounded to the case's storage type
 * first). On ref everything is double. *s owns its tensors.
 *   errors  those of the op: a shape, a type or a version that there is not */
DLF_MUST_CHECK dlf_status bench_subject_new(bench_subject *s, dlf_device *device,
                                            const dlf_bench_case *c, bool zeros);
void bench_subject_free(bench_subject *s);

/* Bytes that it reads and writes, every operand once. */
void bench_traffic(const bench_subject *s, double *read, double *written);

/* The anchors, of which there are no cases. copy: reads : writes as in `like`. */
DLF_MUST_CHECK dlf_status bench_subject_copy(bench_subject *s, const bench_subject *like);
DLF_MUST_CHECK dlf_status bench_subject_gemm(bench_subject *s, dlf_device *device);

/* ---- for the builders ----------------------------------------------------------------------- */

/* The type of data tensors: the case's, or double on ref. */
dlf_dtype bench_storage(const bench_subject *s);
/* t[i] = shift + scale * normal draws of stream i, rounded to `as` before they are stored. */
DLF_MUST_CHECK dlf_status bench_input(bench_subject *s, int i, dlf_dtype dtype, dlf_dtype as,
                                      int ndim, const int64_t *shape, double shift, double scale);
DLF_MUST_CHECK dlf_status bench_labels(bench_subject *s, int i, int ndim, const int64_t *shape,
                                       int classes);
DLF_MUST_CHECK dlf_status bench_output(bench_subject *s, int i, dlf_dtype dtype, int ndim,
                                       const int64_t *shape);

dlf_status bench_build_norm(bench_subject *s);
dlf_status bench_build_activation(bench_subject *s);
dlf_status bench_build_softmax(bench_subject *s);
dlf_status bench_build_conv(bench_subject *s);
dlf_status bench_build_ceiling(bench_subject *s);

#endif
