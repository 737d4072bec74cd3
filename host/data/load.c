/* SPDX-License-Identifier: MIT
 * load.c -- data sets by name or directory. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/dataset.h"
#include "experiments/nearest.h"
#include "result/atomic_file.h"

typedef struct format {
    const char *says; /* the file that shows it */
    bool (*is)(const char *dir);
    dlf_status (*load)(dlf_dataset *out, const dlf_loading *l);
} format;

static const format idx = {"train-images-idx3-ubyte", dlf_is_idx, dlf_load_idx};
static const format cifar = {"data_batch_1.bin", dlf_is_cifar, dlf_load_cifar};
static const format npy = {"x.npy", dlf_is_npy, dlf_load_npy};
static const format *const formats[] = {&idx, &cifar, &npy, NULL};

typedef struct known {
    const char *name;
    const format *format; /* NULL: inside the binary                      */
    int classes, side;    /* images are side x side                       */
    const char *below[2]; /* of the data directory, tried in turn         */
    const char *place;    /* where `package` puts it; NULL: there is none */
    const char *package;
} known;

static const known sets[] = {
    {.name = "digits"},
    {.name = "fashion-mnist",
     .format = &idx,
     .classes = 10,
     .side = 28,
     .below = {"fashion-mnist"},
     .place = "/usr/share/datasets/fashion-mnist",
     .package = "dataset-fashion-mnist"},
    {.name = "mnist", .format = &idx, .classes = 10, .side = 28, .below = {"mnist"}},
    {.name = "cifar-10",
     .format = &cifar,
     .classes = 10,
     .side = 32,
     .below = {"cifar-10", "cifar-10-batches-bin"}},
};
enum { SETS = sizeof sets / sizeof sets[0] };

const char *const dlf_dataset_names[] = {"digits", "fashion-mnist", "mnist", "cifar-10", NULL};

static const known *find_known(const char *name)
{
    for (int i = 0; i < SETS; i++)
        if (strcmp(sets[i].name, name) == 0) return &sets[i];
    return NULL;
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* *place = a copy of `dir` if it holds the set, else NULL. */
static dlf_status try_place(char **place, const format *f, const char *dir)
{
    *place = NULL;
    if (!dir || !f->is(dir)) return DLF_OK;
    *place = strdup(dir);
    return *place ? DLF_OK : dlf_fail(DLF_ERR_OOM, "no memory for a path");
}

static dlf_status try_below(char **place, const format *f, const char *dir, const char *below)
{
    char *path = dlf_path_join(dir, below);
    if (!path) return dlf_fail(DLF_ERR_OOM, "no memory for a path");
    const dlf_status status = try_place(place, f, path);
    free(path);
    return status;
}

static dlf_status absent(const known *set, const char *data)
{
    if (data)
        return dlf_fail(DLF_ERR_INPUT, "data set %s not found: no %s in %s/%s, nor in %s itself",
                        set->name, set->format->says, data, set->below[0], data);
    if (set->package)
        return dlf_fail(DLF_ERR_INPUT,
                        "data set %s is not installed: apt-get install %s, or say with --data DIR "
                        "(or DLF_DATA) where it is",
                        set->name, set->package);
    return dlf_fail(DLF_ERR_INPUT,
                    "data set %s: say with --data DIR (or DLF_DATA) where its files (%s, ...) are",
                    set->name, set->format->says);
}

static dlf_status find_set(char **place, const known *set, const char *data)
{
    if (!data) data = getenv("DLF_DATA");
    if (data && !*data) data = NULL;
    if (data) {
        for (int i = 0; i < 2 && set->below[i] && !*place; i++)
            DLF_TRY(try_below(place, set->format, data, set->below[i]));
        if (!*place) DLF_TRY(try_place(place, set->format, data));
    } else {
        DLF_TRY(try_place(place, set->format, set->place));
    }
    if (*place) return DLF_OK;
    return absent(set, data);
}

static dlf_status unknown(const char *name)
{
    char hint[256];
    return dlf_fail(DLF_ERR_NOT_FOUND, "'%.80s' is neither a data set nor a directory%s", name,
                    dlf_nearest(hint, sizeof hint, name, dlf_dataset_names));
}

/* The format of a directory that somebody named. */
static dlf_status recognise(const format **out, const char *dir)
{
    for (int i = 0; formats[i]; i++) {
        *out = formats[i];
        if (formats[i]->is(dir)) return DLF_OK;
    }
    return dlf_fail(DLF_ERR_INPUT, "%s holds no data set: no %s, %s or %s there", dir, idx.says,
                    cifar.says, npy.says);
}

dlf_status dlf_dataset_find(char **place, const char *name, const char *data)
{
    const known *set = find_known(name);
    const format *f = set ? set->format : NULL;
    *place = NULL;
    if (set && f) return find_set(place, set, data);
    if (!set) {
        if (!is_directory(name)) return unknown(name);
        DLF_TRY(recognise(&f, name));
    }
    *place = strdup(set ? "inside the binary" : name);
    return *place ? DLF_OK : dlf_fail(DLF_ERR_OOM, "no memory for a path");
}

static dlf_status load_from(dlf_dataset *out, const known *set, const dlf_loading *l)
{
    const format *f = set ? set->format : NULL;
    if (!f) DLF_TRY(recognise(&f, l->dir));
    DLF_TRY(f->load(out, l));
    if (set) out->name = set->name;
    if (set && (out->height != set->side || out->width != set->side))
        return dlf_fail(DLF_ERR_INPUT, "%s: images of %dx%d; those of %s are %dx%d", l->dir,
                        out->height, out->width, set->name, set->side, set->side);
    return dlf_dataset_scale(out);
}

dlf_status dlf_dataset_load(dlf_dataset *out, const char *name, const dlf_dataset_request *request)
{
    static const dlf_dataset_request everything = {NULL, 0, 0};
    const dlf_dataset_request *r = request ? request : &everything;
    const known *set = find_known(name);
    memset(out, 0, sizeof *out);
    if (r->train < 0 || r->test < 0)
        return dlf_fail(DLF_ERR_ARG, "%s: %d training and %d test rows cannot be loaded", name,
                        r->train, r->test);
    if (set && !set->format) return dlf_load_digits(out, r->train, r->test);
    char *dir = NULL;
    DLF_TRY(dlf_dataset_find(&dir, name, r->data));
    const dlf_loading l = {dir, r->train, r->test, set ? set->classes : 0};
    const dlf_status status = load_from(out, set, &l);
    free(dir);
    if (status != DLF_OK) dlf_dataset_free(out);
    return status;
}
