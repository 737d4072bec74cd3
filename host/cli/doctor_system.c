/* SPDX-License-Identifier: MIT
 * doctor_system.c -- what is installed: build, driver, libraries, programs, fonts. */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "cli/doctor.h"
#include "cli/term.h"
#include "data/embedded.h"
#include "dlf/data.h"
#include "git_hash.h"
#include "result/buffer.h"

static const dlf_text nothing = {NULL, NULL};

doctor_item *doctor_add(doctor *d, const char *id, doctor_level level, dlf_text advice,
                        const char *format, ...)
{
    static doctor_item overflow; /* a 33rd finding is dropped, not written behind the array */
    doctor_item *item = d->n < DOCTOR_ITEMS_MAX ? &d->item[d->n++] : &overflow;
    *item = (doctor_item){.id = id, .level = level, .advice = advice, .number = NAN};
    va_list args;
    va_start(args, format);
    vsnprintf(item->value, sizeof item->value, format, args);
    va_end(args);
    return item;
}

/* ---- build --------------------------------------------------------------------------------------
 */

void doctor_check_build(doctor *d)
{
    doctor_add(d, "version", DOCTOR_OK, nothing, "dlf %s, git %s", DLF_VERSION, DLF_GIT);
    doctor_add(d, "build", DOCTOR_OK, nothing, "%s", DLF_BUILD);
    int files = 0, answers = 0;
    size_t bytes = 0;
    for (const dlf_embedded_file *f = dlf_embedded_files; f->name; f++) {
        files++;
        answers += strncmp(f->name, "answers/", 8) == 0;
        bytes += (size_t)(f->end - f->begin) - 1;
    }
    doctor_add(d, "embedded", files ? DOCTOR_OK : DOCTOR_WARN,
               files ? nothing : (dlf_text){"重新配置并编译", "configure and build again"},
               "%d files, %d of them answers, %zu kB", files, answers, bytes / 1000);
}

/* ---- CUDA ---------------------------------------------------------------------------------------
 */

/* ISO C has no conversion from what dlsym returns to a function pointer. */
static bool find_symbol(void *function, void *library, const char *name)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static void check_driver(doctor *d, bool built_with_cuda)
{
    const dlf_text install = {"安装 NVIDIA 驱动；没有 GPU 时用 --device cpu",
                              "install the NVIDIA driver; without a GPU use --device cpu"};
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        doctor_add(d, "driver", built_with_cuda ? DOCTOR_WARN : DOCTOR_OK,
                   built_with_cuda ? install : nothing,
                   "no NVIDIA driver (libcuda.so.1 not found)");
        return;
    }
    int (*version_of)(int *);
    int version = 0;
    if (!find_symbol(&version_of, library, "cuDriverGetVersion") || version_of(&version) != 0) {
        doctor_add(d, "driver", DOCTOR_WARN, install, "libcuda.so.1 does not tell its version");
    } else {
        int major = 0, minor = 0;
        const bool old =
            sscanf(DLF_BUILT_WITH_CUDA, "%d.%d", &major, &minor) == 2 && version / 1000 < major;
        doctor_add(d, "driver", old ? DOCTOR_WARN : DOCTOR_OK,
                   old ? (dlf_text){"驱动比编译所用的 CUDA 旧：升级驱动",
                                    "older than the CUDA this was built with: update the driver"}
                       : nothing,
                   "supports CUDA %d.%d", version / 1000, version % 1000 / 10);
    }
}

/* The first of `names` that the loader finds, in its own path or in the usual toolkit place. */
static bool find_library(const char *const *names, char *found, size_t size)
{
    static const char *const directories[] = {"", "/usr/local/cuda/lib64/"};
    for (int dir = 0; dir < 2; dir++) {
        for (int i = 0; names[i]; i++) {
            snprintf(found, size, "%s%s", directories[dir], names[i]);
            void *library = dlopen(found, RTLD_LAZY | RTLD_LOCAL);
            if (library) return true; /* never closed: CUDA libraries do not clean up */
        }
    }
    return false;
}

static void check_library(doctor *d, const char *id, const char *const *names, bool has_gpu,
                          dlf_text advice)
{
    char found[128];
    if (find_library(names, found, sizeof found))
        doctor_add(d, id, DOCTOR_OK, nothing, "%s", found);
    else
        doctor_add(d, id, has_gpu ? DOCTOR_WARN : DOCTOR_OK, has_gpu ? advice : nothing,
                   "not found%s", has_gpu ? "" : " (not needed without a GPU)");
}

void doctor_check_cuda(doctor *d)
{
    static const char *const cublas[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so",
                                         NULL};
    static const char *const cudnn[] = {"libcudnn.so.9", "libcudnn.so", NULL};
    const bool built = DLF_BUILT_WITH_CUDA[0] != '\0';
    if (built)
        doctor_add(d, "cuda_build", DOCTOR_OK, nothing, "CUDA %s for %s", DLF_BUILT_WITH_CUDA,
                   DLF_CUDA_ARCHITECTURES);
    else
        doctor_add(d, "cuda_build", DOCTOR_WARN,
                   (dlf_text){"要用 GPU：安装 CUDA Toolkit 12 以上并重新编译",
                              "for a GPU: install CUDA Toolkit 12 or newer and build again"},
                   "built without CUDA");
    check_driver(d, built);
    const char *why = NULL;
    const int n = dlf_cuda_device_count(&why);
    if (n)
        doctor_add(d, "cuda_devices", DOCTOR_OK, nothing, "%d", n);
    else
        doctor_add(d, "cuda_devices", DOCTOR_OK, nothing, "none: %s",
                   why ? why : "no reason given");
    check_library(d, "cublas", cublas, n > 0,
                  (dlf_text){"安装 cuBLAS 或设 DLF_CUBLAS；否则用自带的矩阵乘",
                             "install cuBLAS or set DLF_CUBLAS; our own GEMM is used until then"});
    check_library(d, "cudnn", cudnn, n > 0,
                  (dlf_text){"安装 cuDNN 9 或设 DLF_CUDNN；否则用自带的卷积，结果相同但较慢",
                             "install cuDNN 9 or set DLF_CUDNN; our own, slower convolution is "
                             "used until then"});
}

/* ---- programs and fonts -------------------------------------------------------------------------
 */

/* First line that `command` prints; false if it fails or prints nothing. */
static bool first_line(const char *command, char *out, size_t size)
{
    out[0] = '\0';
    FILE *pipe = popen(command, "r");
    if (!pipe) return false;
    const bool read = fgets(out, (int)size, pipe) != NULL;
    char rest[512];
    while (fgets(rest, sizeof rest, pipe)) {
    } /* drain: the program must not die of a closed pipe */
    const int status = pclose(pipe);
    out[strcspn(out, "\n")] = '\0';
    return read && status == 0;
}

void doctor_check_tools(doctor *d)
{
    char line[256];
    if (first_line("gnuplot --version 2>/dev/null", line, sizeof line))
        doctor_add(d, "gnuplot", DOCTOR_OK, nothing, "%s", line);
    else
        doctor_add(d, "gnuplot", DOCTOR_WARN,
                   (dlf_text){"画 SVG/PNG 需要它：apt-get install gnuplot-nox",
                              "SVG and PNG figures need it: apt-get install gnuplot-nox"},
                   "not found");
    if (first_line("fc-list :lang=zh family 2>/dev/null", line, sizeof line))
        doctor_add(d, "cjk_font", DOCTOR_OK, nothing, "%s", line);
    else
        doctor_add(d, "cjk_font", DOCTOR_WARN,
                   (dlf_text){"中文图需要它：apt-get install fonts-noto-cjk",
                              "Chinese figures need one: apt-get install fonts-noto-cjk"},
                   "no font with Chinese characters found (fc-list :lang=zh)");
    const bool utf8 = cli_is_utf8();
    doctor_add(d, "locale", utf8 ? DOCTOR_OK : DOCTOR_WARN,
               utf8 ? nothing
                    : (dlf_text){"输出是 UTF-8：export LANG=C.UTF-8",
                                 "output is UTF-8: export LANG=C.UTF-8"},
               utf8 ? "UTF-8" : "LC_ALL, LC_CTYPE, LANG do not say UTF-8");
}

/* ---- data ---------------------------------------------------------------------------------------
 */

void doctor_check_data(doctor *d, const char *dir)
{
    const dlf_text install = {"部分实验需要它：apt-get install dataset-fashion-mnist",
                              "some experiments need it: apt-get install dataset-fashion-mnist"};
    dlf_buffer found = {0}, absent = {0};
    bool fashion = false;
    for (int i = 0; dlf_dataset_names[i]; i++) {
        const char *name = dlf_dataset_names[i];
        char *place = NULL;
        if (dlf_dataset_find(&place, name, dir) == DLF_OK) {
            dlf_buffer_printf(&found, "%s%s: %s", found.size ? ", " : "", name, place);
            fashion = fashion || strcmp(name, "fashion-mnist") == 0;
        } else {
            dlf_buffer_printf(&absent, ", no %s", name);
        }
        free(place);
    }
    doctor_add(d, "data_sets", fashion ? DOCTOR_OK : DOCTOR_WARN, fashion ? nothing : install,
               "%s%s", found.data ? found.data : "none", absent.data ? absent.data : "");
    dlf_buffer_free(&found);
    dlf_buffer_free(&absent);
}

void doctor_check_output(doctor *d, const char *dir)
{
    const char *place = access(dir, F_OK) == 0 ? dir : ".";
    if (access(place, W_OK | X_OK) == 0)
        doctor_add(d, "output", DOCTOR_OK, nothing, "%s can be written", dir);
    else
        doctor_add(d, "output", DOCTOR_FAIL,
                   (dlf_text){"换个目录，或用 --out", "change the directory, or use --out"},
                   "%s cannot be written: %s", dir, strerror(errno));
}
