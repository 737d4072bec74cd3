/* SPDX-License-Identifier: MIT
 * backend_cpu.c -- OpenMP + SIMD kernels; picks the SIMD level and finds a BLAS at run time. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/gemm_blas.h"
#include "backend/host_memory.h"

/* ---- SIMD levels ---- */

typedef struct simd_level {
    const char *name, *text;
    const char *openblas_core; /* what OpenBLAS calls such a CPU; NULL: let it look */
    const dlf_ops *ops;
} simd_level;

extern const dlf_ops dlf_ops_cpu_v1;
#ifdef DLF_HAVE_LEVEL_v3
extern const dlf_ops dlf_ops_cpu_v3;
#endif
#ifdef DLF_HAVE_LEVEL_v4
extern const dlf_ops dlf_ops_cpu_v4;
#endif

/* Best first. OpenBLAS must be told its core type: 0.3.21 takes Zen 4 for Cooperlake (25 % slower
 * on small products) and some virtual machines for Prescott (5 times slower). */
static const simd_level levels[] = {
#ifdef DLF_HAVE_LEVEL_v4
    {"v4", "AVX-512", "SkylakeX", &dlf_ops_cpu_v4},
#endif
#ifdef DLF_HAVE_LEVEL_v3
    {"v3", "AVX2", "Haswell", &dlf_ops_cpu_v3},
#endif
#ifdef __x86_64__
    {"v1", "SSE2", NULL, &dlf_ops_cpu_v1},
#else
    {"v1", "baseline", NULL, &dlf_ops_cpu_v1},
#endif
};
enum { N_LEVELS = sizeof levels / sizeof levels[0] };

static bool cpu_has(const simd_level *level)
{
#ifdef __x86_64__
    if (!strcmp(level->name, "v3") || !strcmp(level->name, "v4")) {
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
            !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2"))
            return false;
    }
    if (!strcmp(level->name, "v4"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
#endif
    return true;
}

static dlf_status choose_level(const simd_level **out)
{
    const char *forced = getenv("DLF_CPU_LEVEL");
    for (int i = 0; i < N_LEVELS; i++) {
        if (forced && forced[0] && strcmp(forced, levels[i].name) != 0) continue;
        if (cpu_has(&levels[i])) {
            *out = &levels[i];
            return DLF_OK;
        }
        if (forced && forced[0])
            return dlf_fail(DLF_ERR_NO_DEVICE, "DLF_CPU_LEVEL=%s: this CPU has no %s", forced,
                            levels[i].text);
    }
    return dlf_fail(DLF_ERR_NO_DEVICE, "DLF_CPU_LEVEL=%s: this build has the levels %s%s", forced,
                    levels[N_LEVELS - 1].name, N_LEVELS > 1 ? ", v3 and v4" : "");
}

/* ---- BLAS ---- */

/* Loaded once per process and never unloaded: OpenBLAS leaves fork handlers behind. */
static struct {
    bool tried;
    dlf_cblas_sgemm sgemm;
    char text[128];
} blas;

/* Calling a function that dlsym found needs a conversion that ISO C leaves to POSIX. */
static void load_symbol(void *function, void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
}

static bool set_for_load(const char *name, const char *value)
{
    if (!value || getenv(name)) return false;
    return setenv(name, value, 0) == 0;
}

static void describe_blas(void *library)
{
    char *(*config)(void), *(*corename)(void);
    load_symbol(&config, library, "openblas_get_config");
    load_symbol(&corename, library, "openblas_get_corename");
    if (!config) {
        snprintf(blas.text, sizeof blas.text, "BLAS from DLF_BLAS");
        return;
    }
    char product[32] = "", version[32] = ""; /* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..." */
    (void)sscanf(config(), "%31s %31s", product, version);
    snprintf(blas.text, sizeof blas.text, "%s %s core %s", product, version,
             corename ? corename() : "unknown");
}

static dlf_status load_blas(const simd_level *level)
{
    if (blas.tried) return DLF_OK;
    const char *path = getenv("DLF_BLAS");
    const bool chosen = path && path[0];
    if (chosen && !strcmp(path, "none")) {
        snprintf(blas.text, sizeof blas.text, "own GEMM (DLF_BLAS=none)");
        blas.tried = true;
        return DLF_OK;
    }

    /* Only for the load: no thread pool of its own, and the right kernels. */
    const bool set_core = set_for_load("OPENBLAS_CORETYPE", level->openblas_core);
    const bool set_threads = set_for_load("OPENBLAS_NUM_THREADS", "1");
    void *library = dlopen(chosen ? path : "libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library && !chosen) library = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
    if (set_core) unsetenv("OPENBLAS_CORETYPE");
    if (set_threads) unsetenv("OPENBLAS_NUM_THREADS");

    dlf_cblas_sgemm sgemm = NULL;
    if (library) load_symbol(&sgemm, library, "cblas_sgemm");
    if (chosen && !sgemm) {
        const char *why = dlerror();
        return dlf_fail(DLF_ERR_NO_DEVICE, "DLF_BLAS=%s has no usable cblas_sgemm: %s", path,
                        why ? why : "no such symbol");
    }
    if (sgemm) {
        void (*set_num_threads)(int); /* all parallelism is ours */
        load_symbol(&set_num_threads, library, "openblas_set_num_threads");
        if (set_num_threads) set_num_threads(1);
        describe_blas(library);
    } else {
        snprintf(blas.text, sizeof blas.text, "own GEMM (no OpenBLAS found)");
    }
    blas.sgemm = sgemm;
    blas.tried = true;
    return DLF_OK;
}

dlf_cblas_sgemm dlf_cpu_sgemm(const dlf_device *dev)
{
    return blas.sgemm;
}

/* ---- the device ---- */

static dlf_status cpu_open(dlf_device *dev, int ordinal)
{
    const simd_level *level = NULL;
    DLF_TRY(choose_level(&level));
    DLF_TRY(load_blas(level));
    DLF_TRY(dlf_host_open(dev));
    dev->info.threads = dlf_host_threads();
    snprintf(dev->info.detail, sizeof dev->info.detail, "%s (%s), %s", level->text, level->name,
             blas.text);
    dev->ops = level->ops;
    return DLF_OK;
}

const dlf_backend dlf_backend_cpu = {.name = "cpu", .open = cpu_open, DLF_HOST_SLOTS};
