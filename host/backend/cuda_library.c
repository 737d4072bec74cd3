/* SPDX-License-Identifier: MIT
 * cuda_library.c -- dlopen for cuBLAS and cuDNN. */
#include "backend/cuda_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ISO C has no conversion from what dlsym returns to a function pointer. */
static bool find(void *function, void *library, const char *name)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

bool dlf_cuda_symbols(void *library, const dlf_cuda_wanted *wanted, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!find(wanted[i].function, library, wanted[i].name)) return false;
    return true;
}

static void *open_in(const char *directory, const char *name)
{
    char path[512];
    const int n = snprintf(path, sizeof path, "%s%s%s", directory, directory[0] ? "/" : "", name);
    return n < (int)sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

void *dlf_cuda_library(const char *variable, const char *const *names)
{
    const char *chosen = getenv(variable);
    if (chosen && chosen[0]) return !strcmp(chosen, "none") ? NULL : open_in("", chosen);

    char home[256] = "", path[256] = "";
    const char *cuda_home = getenv("CUDA_HOME"), *cuda_path = getenv("CUDA_PATH");
    if (cuda_home) snprintf(home, sizeof home, "%s/lib64", cuda_home);
    if (cuda_path) snprintf(path, sizeof path, "%s/lib64", cuda_path);
    /* "" is the loader's own search path, and is always asked first. */
    const char *const directories[] = {"", home, path, "/usr/local/cuda/lib64"};
    for (size_t d = 0; d < sizeof directories / sizeof directories[0]; d++) {
        if (d > 0 && !directories[d][0]) continue;
        for (const char *const *name = names; *name; name++) {
            void *library = open_in(directories[d], *name);
            if (library) return library;
        }
    }
    return NULL;
}

bool dlf_cuda_is_test_bed(const char *device_name)
{
    return strncmp(device_name, "simt", 4) == 0;
}

bool dlf_cuda_library_wanted(const char *variable, const char *device_name)
{
    const char *chosen = getenv(variable);
    return !dlf_cuda_is_test_bed(device_name) || (chosen && chosen[0]);
}
