/* SPDX-License-Identifier: MIT
 * idx.c -- IDX, the format of MNIST: two zero bytes, a type, the number of axes, their sizes as
 * big-endian 32-bit numbers, then the numbers. */
#include <stdio.h>
#include <stdlib.h>

#include "data/array.h"

enum { UNSIGNED_BYTES = 0x08, AXES_MAX = 1 + DLF_ARRAY_AXES };

static int64_t big_endian(const unsigned char *p)
{
    return (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

dlf_status dlf_idx_open(dlf_array *a, const char *path, int axes)
{
    *a = (dlf_array){.type = DLF_U1};
    unsigned char head[4], sizes[4 * AXES_MAX];
    int64_t size[AXES_MAX];
    DLF_TRY(dlf_source_open(&a->source, path));
    DLF_TRY(dlf_source_read(&a->source, head, sizeof head));
    if (head[0] || head[1]) return dlf_fail(DLF_ERR_INPUT, "%s: offset 0: not an IDX file", path);
    if (head[2] != UNSIGNED_BYTES)
        return dlf_fail(DLF_ERR_INPUT,
                        "%s: offset 2: type 0x%02x; only unsigned bytes (0x08) are read", path,
                        head[2]);
    if (head[3] != axes)
        return dlf_fail(DLF_ERR_INPUT, "%s: offset 3: %d axes, expected %d", path, head[3], axes);
    DLF_TRY(dlf_source_read(&a->source, sizes, 4 * (size_t)axes));
    for (int i = 0; i < axes; i++) size[i] = big_endian(sizes + 4 * i);
    return dlf_array_shape(a, size, axes);
}

static const char *const images[] = {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"};
static const char *const labels[] = {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"};

/* DIR/name or DIR/name.gz */
static char *find(const char *dir, const char *name)
{
    char zipped[64];
    char *path = dlf_file_in(dir, name);
    if (path) return path;
    snprintf(zipped, sizeof zipped, "%s.gz", name);
    return dlf_file_in(dir, zipped);
}

bool dlf_is_idx(const char *dir)
{
    char *path = find(dir, images[0]);
    free(path);
    return path != NULL;
}

static dlf_status open_in(dlf_array *a, const char *dir, const char *name, int axes)
{
    char *path = find(dir, name);
    if (!path) return dlf_fail(DLF_ERR_INPUT, "%s has no %s, nor %s.gz", dir, name, name);
    const dlf_status status = dlf_idx_open(a, path, axes);
    free(path);
    return status;
}

dlf_status dlf_load_idx(dlf_dataset *out, const dlf_loading *l)
{
    dlf_arrays a = {0};
    dlf_status status;
    out->name = "idx";
    for (int p = 0; p < 2; p++) {
        DLF_TRY_DONE(open_in(&a.y[p], l->dir, labels[p], 1));
        DLF_TRY_DONE(open_in(&a.x[p], l->dir, images[p], 3));
    }
    status = dlf_load_arrays(out, &a, l);
done:
    dlf_arrays_close(&a);
    return status;
}
