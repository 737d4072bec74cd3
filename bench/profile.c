/* SPDX-License-Identifier: MIT
 * profile.c -- a few calls of each case for a profiler, and nothing else. */
#include "backend/measure.h"
#include "bench/subject.h"

static dlf_status profile_one(dlf_device *device, const dlf_bench_case *c, int calls)
{
    bench_subject s;
    dlf_status status;
    DLF_TRY(bench_subject_new(&s, device, c, false)); /* calls it once: nothing is loaded later */
    DLF_TRY_DONE(dlf_cuda_profiler(device, true));
    for (int i = 0; i < calls; i++) DLF_TRY_DONE(s.call(&s));
    DLF_TRY_DONE(dlf_device_sync(device));
    DLF_TRY_DONE(dlf_cuda_profiler(device, false));
done:
    bench_subject_free(&s);
    return status;
}

dlf_status dlf_bench_profile(dlf_device *device, const dlf_bench_case *cases, int n, int calls)
{
    for (int i = 0; i < n; i++) {
        char name[DLF_BENCH_NAME];
        DLF_TRY(profile_one(device, &cases[i], calls));
        printf("%s: %d calls\n", dlf_bench_case_name(name, &cases[i]), calls);
    }
    return DLF_OK;
}
