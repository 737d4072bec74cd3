/* SPDX-License-Identifier: MIT
 * npy.c -- NumPy's .npy: magic, version, length of the header, the header as the text of a Python
 * dictionary, then the numbers. */
#include <stdlib.h>
#include <string.h>

#include "data/array.h"

/* NumPy itself writes 118 bytes for what is read here. */
enum { HEADER_MAX = 1 << 16, AXES_MAX = 8, KEY_MAX = 16 };

/* ---- the dictionary ------------------------------------------------------------------------ */

typedef struct parser {
    const char *path, *text;
    const char *p;
    int64_t start; /* offset of the text in the file */
} parser;

static dlf_status bad(const parser *t, const char *expected)
{
    return dlf_fail(DLF_ERR_INPUT, "%s: offset %lld: the header should have %s here", t->path,
                    (long long)(t->start + (t->p - t->text)), expected);
}

static void blanks(parser *t)
{
    t->p += strspn(t->p, " \t\r\n");
}

/* Does `word` follow? Then it is taken. */
static bool take(parser *t, const char *word)
{
    blanks(t);
    const size_t n = strlen(word);
    if (strncmp(t->p, word, n) != 0) return false;
    t->p += n;
    return true;
}

/* A quoted string without escapes. */
static dlf_status parse_string(parser *t, char *out)
{
    blanks(t);
    const char quote = *t->p;
    if (quote != '\'' && quote != '"') return bad(t, "a quoted name");
    const size_t n = strcspn(t->p + 1, "'\"\\\n");
    if (n >= KEY_MAX || t->p[1 + n] != quote) return bad(t, "a short quoted name");
    memcpy(out, t->p + 1, n);
    out[n] = '\0';
    t->p += n + 2;
    return DLF_OK;
}

static dlf_status parse_size(parser *t, int64_t *out)
{
    blanks(t);
    if (*t->p < '0' || *t->p > '9') return bad(t, "the size of an axis");
    for (*out = 0; *t->p >= '0' && *t->p <= '9'; t->p++)
        if (*out <= INT32_MAX) *out = 10 * *out + (*t->p - '0'); /* more is refused later on */
    if (*t->p == 'L') t->p++;                                    /* written by Python 2 */
    return DLF_OK;
}

static dlf_status parse_shape(parser *t, int64_t *size, int *axes)
{
    *axes = 0;
    if (!take(t, "(")) return bad(t, "'('");
    while (!take(t, ")")) {
        if (*axes == AXES_MAX) return bad(t, "')': there are too many axes");
        DLF_TRY(parse_size(t, &size[(*axes)++]));
        if (take(t, ",")) continue;
        if (!take(t, ")")) return bad(t, "',' or ')'");
        break;
    }
    return DLF_OK;
}

static dlf_status parse_type(parser *t, dlf_number *type)
{
    static const struct {
        const char *descr;
        dlf_number type;
    } known[] = {{"<f4", DLF_F4}, {"<f8", DLF_F8}, {"|u1", DLF_U1},
                 {"<u1", DLF_U1}, {"<i4", DLF_I4}, {"<i8", DLF_I8}};
    char descr[KEY_MAX];
    DLF_TRY(parse_string(t, descr));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(descr, known[i].descr) != 0) continue;
        *type = known[i].type;
        return DLF_OK;
    }
    return dlf_fail(DLF_ERR_INPUT, "%s: numbers of type '%s'; read are <f4, <f8, |u1, <i4, <i8",
                    t->path, descr);
}

static dlf_status parse_order(parser *t)
{
    if (take(t, "False")) return DLF_OK;
    if (!take(t, "True")) return bad(t, "True or False");
    return dlf_fail(DLF_ERR_INPUT,
                    "%s: Fortran order is not read; save numpy.ascontiguousarray(a) instead",
                    t->path);
}

static dlf_status parse_header(parser *t, dlf_number *type, int64_t *size, int *axes)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    int seen = 0;
    if (!take(t, "{")) return bad(t, "'{'");
    while (!take(t, "}")) {
        char key[KEY_MAX];
        DLF_TRY(parse_string(t, key));
        const int bit = strcmp(key, "descr") == 0           ? DESCR
                        : strcmp(key, "fortran_order") == 0 ? ORDER
                        : strcmp(key, "shape") == 0         ? SHAPE
                                                            : 0;
        if (!bit || seen & bit) return bad(t, "descr, fortran_order and shape, once each, before");
        seen |= bit;
        if (!take(t, ":")) return bad(t, "':'");
        DLF_TRY(bit == DESCR   ? parse_type(t, type)
                : bit == ORDER ? parse_order(t)
                               : parse_shape(t, size, axes));
        if (take(t, ",")) continue;
        if (!take(t, "}")) return bad(t, "',' or '}'");
        break;
    }
    blanks(t);
    if (seen != (DESCR | ORDER | SHAPE)) return bad(t, "descr, fortran_order and shape before");
    return *t->p ? bad(t, "its end") : DLF_OK;
}

/* ---- the file ------------------------------------------------------------------------------ */

static dlf_status read_header(dlf_array *a, char *text)
{
    unsigned char head[8], length[4];
    const char *path = a->source.path;
    DLF_TRY(dlf_source_read(&a->source, head, sizeof head));
    if (memcmp(head, "\x93NUMPY", 6) != 0)
        return dlf_fail(DLF_ERR_INPUT, "%s: offset 0: not a .npy file", path);
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return dlf_fail(DLF_ERR_INPUT, "%s: offset 6: version %d.%d; read are 1.0, 2.0, 3.0", path,
                        head[6], head[7]);
    const size_t length_size = head[6] == 1 ? 2 : 4;
    DLF_TRY(dlf_source_read(&a->source, length, length_size));
    size_t n = length[0] | length[1] << 8;
    if (length_size == 4) n |= (size_t)length[2] << 16 | (size_t)length[3] << 24;
    if (n >= HEADER_MAX)
        return dlf_fail(DLF_ERR_INPUT, "%s: offset 8: a header of %zu bytes; at most %d are read",
                        path, n, HEADER_MAX - 1);
    parser t = {.path = path, .text = text, .p = text, .start = a->source.at};
    DLF_TRY(dlf_source_read(&a->source, text, n));
    text[n] = '\0';
    int64_t size[AXES_MAX];
    int axes = 0;
    DLF_TRY(parse_header(&t, &a->type, size, &axes));
    if (t.p != text + n) return bad(&t, "no zero byte");
    return dlf_array_shape(a, size, axes);
}

dlf_status dlf_npy_open(dlf_array *a, const char *path)
{
    *a = (dlf_array){0};
    DLF_TRY(dlf_source_open(&a->source, path));
    if (!a->source.plain)
        return dlf_fail(DLF_ERR_INPUT, "%s: offset 0: gzip'ed; unpack it first", path);
    char *text = malloc(HEADER_MAX);
    if (!text) return dlf_fail(DLF_ERR_OOM, "no memory for the header of %s", path);
    const dlf_status status = read_header(a, text);
    free(text);
    return status;
}

static const char *const x_name[] = {"x.npy", "x_test.npy"};
static const char *const y_name[] = {"y.npy", "y_test.npy"};

static bool has(const char *dir, const char *name)
{
    char *path = dlf_file_in(dir, name);
    free(path);
    return path != NULL;
}

bool dlf_is_npy(const char *dir)
{
    return has(dir, x_name[0]);
}

static dlf_status open_in(dlf_array *a, const char *dir, const char *name)
{
    char *path = dlf_file_in(dir, name);
    if (!path) return dlf_fail(DLF_ERR_INPUT, "%s has no %s", dir, name);
    const dlf_status status = dlf_npy_open(a, path);
    free(path);
    return status;
}

dlf_status dlf_load_npy(dlf_dataset *out, const dlf_loading *l)
{
    dlf_arrays a = {0};
    dlf_status status;
    out->name = "npy";
    const bool two = has(l->dir, x_name[1]) || has(l->dir, y_name[1]);
    for (int p = 0; p < 1 + two; p++) {
        DLF_TRY_DONE(open_in(&a.x[p], l->dir, x_name[p]));
        DLF_TRY_DONE(open_in(&a.y[p], l->dir, y_name[p]));
    }
    status = dlf_load_arrays(out, &a, l);
done:
    dlf_arrays_close(&a);
    return status;
}
