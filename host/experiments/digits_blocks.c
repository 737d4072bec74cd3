/* SPDX-License-Identifier: MIT
 * digits_blocks.c -- rows of its own for every member of a population. */
#include "digits_blocks.h"

#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"

/* The label of row i of a block: with probability `wrong` one of the other classes. */
static int32_t label_of(const dlf_dataset *source, uint64_t seed, const dlf_block *b, int from,
                        int i)
{
    const int32_t label = source->label[from];
    const uint32_t others = (uint32_t)(source->classes - 1);
    if (!(dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_INPUT, 97), b->draw, (uint64_t)i) <
          b->wrong))
        return label;
    const uint32_t step =
        dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_INPUT, 98), b->draw, (uint64_t)i) % others;
    return (label + 1 + (int32_t)step) % source->classes;
}

static void fill(dlf_dataset *out, int first, const dlf_dataset *source, uint64_t seed,
                 dlf_block_size size, const dlf_block *b, const int32_t *order)
{
    const size_t F = (size_t)source->features;
    const int chosen = size.train + size.valid, rows = chosen + size.test;
    for (int i = 0; i < rows; i++) {
        const int k = b->distinct && i < size.train ? i % b->distinct : i;
        const int from = i < chosen ? order[k] : source->train + i - chosen;
        const size_t to = (size_t)(first + i);
        memcpy(out->x + to * F, source->x + (size_t)from * F, F * sizeof *out->x);
        out->label[to] = i < chosen ? label_of(source, seed, b, from, k) : source->label[from];
    }
}

dlf_status dlf_blocks_make(dlf_dataset *out, int32_t *base, const dlf_dataset *source,
                           uint64_t seed, dlf_block_size size, const dlf_block *block, int blocks)
{
    const int each = size.train + size.valid + size.test;
    const size_t rows = (size_t)blocks * (size_t)each, F = (size_t)source->features;
    if (size.train + size.valid > source->train || size.test > source->test)
        return dlf_fail(DLF_ERR_ARG, "blocks of %d + %d + %d rows: %s has %d + %d", size.train,
                        size.valid, size.test, source->name, source->train, source->test);
    *out = (dlf_dataset){.name = source->name,
                         .train = (int)rows,
                         .features = source->features,
                         .classes = source->classes};
    out->x = malloc(rows * F * sizeof *out->x);
    out->label = malloc(rows * sizeof *out->label);
    int32_t *order = malloc((size_t)source->train * sizeof *order);
    if (!out->x || !out->label || !order) {
        free(order);
        dlf_dataset_free(out);
        return dlf_fail(DLF_ERR_OOM, "blocks: out of memory");
    }
    for (int m = 0; m < blocks; m++) {
        base[m] = m * each;
        dlf_permutation(order, source->train, seed, dlf_stream(DLF_PURPOSE_INPUT, 96),
                        block[m].draw);
        fill(out, base[m], source, seed, size, &block[m], order);
    }
    free(order);
    return DLF_OK;
}
