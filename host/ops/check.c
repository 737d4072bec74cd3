/* SPDX-License-Identifier: MIT
 * check.c -- the checks that all ops share. */
#include "ops/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

dlf_status dlf_call_refuse(const dlf_call *call, const char *format, ...)
{
    char rule[256], list[512] = "", text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(rule, sizeof rule, format, args);
    va_end(args);
    size_t at = 0;
    for (int i = 0; i < call->n && at < sizeof list; i++) {
        const dlf_operand *o = &call->operands[i];
        if (!o->t) continue;
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s %s", at ? ", " : "", o->name,
                               dlf_tensor_describe(o->t, text, sizeof text));
    }
    const dlf_tensor *first = call->operands[0].t;
    return dlf_fail(DLF_ERR_SHAPE, "%s on %s: %s (%s)", call->op,
                    first && first->device ? first->device->info.backend : "no device", rule, list);
}

static bool type_fits(dlf_dtype dtype, dlf_operand_type type, dlf_dtype real)
{
    switch (type) {
    case DLF_REAL: return dtype == real;
    case DLF_REAL64: return dtype == DLF_F64;
    case DLF_INT: return dtype == DLF_I32;
    case DLF_REAL_OR_INT: return dtype == real || dtype == DLF_I32;
    case DLF_STORAGE:
        return dtype == real || (real == DLF_F32 && (dtype == DLF_F16 || dtype == DLF_BF16));
    }
    return false;
}

static const char *type_text(dlf_operand_type type, dlf_dtype real)
{
    if (type == DLF_REAL64) return "f64";
    if (type == DLF_INT) return "i32";
    if (type == DLF_REAL) return dlf_dtype_name(real);
    if (type == DLF_STORAGE) return real == DLF_F32 ? "f32, f16 or bf16" : "f64";
    return real == DLF_F32 ? "f32 or i32" : "f64 or i32";
}

/* A tensor as bytes: `count` pieces of `bytes`, `stride` apart. */
typedef struct extent {
    uintptr_t begin;
    size_t bytes, stride;
    int64_t count;
} extent;

static extent extent_of(const dlf_tensor *t)
{
    const size_t size = dlf_dtype_size(t->dtype);
    if (dlf_tensor_contiguous(t)) {
        const size_t all = (size_t)dlf_tensor_count(t) * size;
        return (extent){(uintptr_t)t->data, all, all, 1};
    }
    return (extent){(uintptr_t)t->data, (size_t)dlf_tensor_member_count(t) * size,
                    (size_t)t->stride * size, t->shape[0]};
}

static uintptr_t end_of(extent e)
{
    return e.begin + (size_t)(e.count - 1) * e.stride + e.bytes;
}

static bool piece_overlaps(uintptr_t begin, size_t bytes, extent e)
{
    if (begin >= end_of(e) || begin + bytes <= e.begin) return false;
    /* The pieces of e that start before our end; only the last of them can reach us, unless
     * pieces overlap each other, which no tensor has. */
    const size_t before = begin + bytes - 1 - e.begin;
    size_t piece = before / e.stride;
    if (piece >= (size_t)e.count) piece = (size_t)e.count - 1;
    return e.begin + piece * e.stride + e.bytes > begin;
}

/* Exact also for two parameters that interleave in one arena. */
static bool overlap(const dlf_tensor *a, const dlf_tensor *b)
{
    const extent x = extent_of(a), y = extent_of(b);
    if (x.begin >= end_of(y) || y.begin >= end_of(x)) return false;
    for (int64_t i = 0; i < x.count; i++)
        if (piece_overlaps(x.begin + (size_t)i * x.stride, x.bytes, y)) return true;
    return false;
}

/* Is `name` one of "a, b"? NULL lists nothing. */
static bool lists(const char *names, const char *name)
{
    const size_t n = strlen(name);
    while (names) {
        if (!strncmp(names, name, n) && (names[n] == ',' || names[n] == '\0')) return true;
        names = strstr(names, ", ");
        if (names) names += 2;
    }
    return false;
}

dlf_status dlf_call_check(const dlf_call *call)
{
    const dlf_operand *o = call->operands;
    const dlf_device *dev = o[0].t->device;
    const dlf_operand *storage = NULL; /* the first of this type; the others follow it */
    if (!dev) return dlf_call_refuse(call, "%s is not allocated", o[0].name);
    for (int i = 0; i < call->n; i++) {
        const dlf_tensor *t = o[i].t;
        if (!t) continue;
        if (!t->data) return dlf_call_refuse(call, "%s is not allocated", o[i].name);
        if (t->device != dev)
            return dlf_call_refuse(call, "%s is on %s%s", o[i].name, t->device->info.backend,
                                   t->device->backend == dev->backend ? " too, another one" : "");
        if (!type_fits(t->dtype, o[i].type, dev->real))
            return dlf_call_refuse(call, "%s must be %s", o[i].name,
                                   type_text(o[i].type, dev->real));
        if (o[i].type == DLF_STORAGE) {
            if (!storage) storage = &o[i];
            if (t->dtype != storage->t->dtype)
                return dlf_call_refuse(call, "%s and %s differ in type", storage->name, o[i].name);
        }
        const int64_t own = dlf_tensor_member_count(t);
        if (t->shape[0] > 1 && t->stride < own)
            return dlf_call_refuse(call, "members of %s overlap: stride %lld, size %lld", o[i].name,
                                   (long long)t->stride, (long long)own);
    }
    for (int i = 0; i < call->n; i++) {
        if (!o[i].out || !o[i].t) continue;
        for (int k = 0; k < call->n; k++) {
            if (k == i || !o[k].t || (o[k].out && k < i)) continue;
            const bool same = o[i].t->data == o[k].t->data && o[i].t->stride == o[k].t->stride;
            if (same && lists(o[i].alias, o[k].name)) continue;
            if (overlap(o[i].t, o[k].t))
                return dlf_call_refuse(call, "%s and %s overlap in memory", o[i].name, o[k].name);
        }
    }
    return DLF_OK;
}

dlf_status dlf_call_axes(const dlf_call *call, const char *name, const dlf_tensor *t, int ndim)
{
    if (t->ndim == ndim) return DLF_OK;
    return dlf_call_refuse(call, "%s must have %d axes", name, ndim);
}

dlf_status dlf_call_shape(const dlf_call *call, const char *name, const dlf_tensor *t, int ndim,
                          const int64_t *shape)
{
    if (!t) return DLF_OK;
    if (t->ndim == ndim && !memcmp(t->shape, shape, (size_t)ndim * sizeof *shape)) return DLF_OK;
    dlf_tensor wanted = {.dtype = t->dtype, .ndim = ndim};
    memcpy(wanted.shape, shape, (size_t)ndim * sizeof *shape);
    char text[128];
    return dlf_call_refuse(call, "%s must be %s", name,
                           dlf_tensor_describe(&wanted, text, sizeof text));
}
