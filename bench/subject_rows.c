/* SPDX-License-Identifier: MIT
 * subject_rows.c -- activations, and softmax with cross-entropy. */
#include <string.h>

#include "bench/subject.h"

enum { X, Y, DY, DX, LABELS, HIT };

static dlf_status activate(bench_subject *s)
{
    return dlf_activation_forward(&s->t[Y], &s->t[X], s->f);
}

static dlf_status activate_back(bench_subject *s)
{
    return dlf_activation_backward(&s->t[DX], &s->t[DY], &s->t[X],
                                   s->role[Y] == ABSENT ? NULL : &s->t[Y], s->f);
}

dlf_status bench_build_activation(bench_subject *s)
{
    const int64_t shape[] = {1, s->c.shape[0]};
    const dlf_dtype store = bench_storage(s), as = s->c.dtype;
    const double bytes = (double)(shape[1] * (int64_t)dlf_dtype_size(as));
    const bool back = !strcmp(s->c.direction, "backward");
    DLF_TRY(dlf_activation_find(&s->f, s->c.op));
    DLF_TRY(bench_input(s, X, store, as, 2, shape, 0.0, 1.0));
    s->call = activate;
    s->flops = (double)shape[1];
    s->bytes = s->bytes_moved = 2.0 * bytes;
    if (!back) return bench_output(s, Y, store, 2, shape);
    if (!dlf_activation_needs_x(
            s->f.kind)) { /* y is read instead: from now on X holds y's numbers */
        DLF_TRY(bench_output(s, Y, store, 2, shape));
        s->role[Y] = KEPT;
        s->setup = activate;
        s->flops = 0.0;
    }
    DLF_TRY(bench_input(s, DY, store, as, 2, shape, 0.0, 1.0));
    DLF_TRY(bench_output(s, DX, store, 2, shape));
    s->call = activate_back;
    s->flops = 2.0 * (double)shape[1];
    s->bytes = s->bytes_moved = 3.0 * bytes;
    return DLF_OK;
}

static dlf_status loss(bench_subject *s)
{
    return dlf_softmax_xent_forward(&s->t[Y], &s->t[HIT], &s->t[X], &s->t[LABELS]);
}

static dlf_status loss_back(bench_subject *s)
{
    return dlf_softmax_xent_backward(&s->t[DX], &s->t[X], &s->t[LABELS],
                                     1.0 / (double)s->c.shape[0]);
}

dlf_status bench_build_softmax(bench_subject *s)
{
    const int64_t N = s->c.shape[0], C = s->c.shape[1], shape[] = {1, N, C}, rows[] = {1, N};
    const dlf_dtype real = s->device->real;
    const double logits = 4.0 * (double)(N * C);
    DLF_TRY(bench_input(s, X, real, DLF_F32, 3, shape, 0.0, 2.0));
    DLF_TRY(bench_labels(s, LABELS, 2, rows, (int)C));
    s->flops = 5.0 * (double)(N * C);
    if (strcmp(s->c.direction, "backward")) {
        s->call = loss;
        s->bytes = s->bytes_moved = logits + 12.0 * (double)N;
        DLF_TRY(bench_output(s, HIT, real, 2, rows));
        return bench_output(s, Y, real, 2, rows);
    }
    s->call = loss_back;
    s->bytes = 2.0 * logits + 4.0 * (double)N;
    s->bytes_moved = s->bytes;
    return bench_output(s, DX, real, 3, shape);
}
