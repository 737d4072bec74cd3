/* SPDX-License-Identifier: MIT
 * telemetry.c -- SM clock, power, temperature and throttle reasons from NVML. */
#include "bench/telemetry.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NVML_SUCCESS = 0, NVML_CLOCK_SM = 1, NVML_TEMPERATURE_GPU = 0 };
/* nvmlClocksEventReason*: idle (1) and application clocks (2) are no throttling. */
static const unsigned long long harmless = 3;

struct bench_telemetry {
    void *library, *device;
    int (*shutdown)(void);
    int (*clock)(void *device, int type, unsigned *mhz);
    int (*power)(void *device, unsigned *milliwatts);
    int (*temperature)(void *device, int sensor, unsigned *celsius);
    int (*reasons)(void *device, unsigned long long *bits);
    dlf_bench_telemetry first;
};

static bool symbol(void *function, void *library, const char *name)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static dlf_bench_telemetry unknown(void)
{
    return (dlf_bench_telemetry){NAN, NAN, NAN, -1};
}

static dlf_bench_telemetry now(const bench_telemetry *t)
{
    dlf_bench_telemetry out = unknown();
    unsigned value;
    unsigned long long bits;
    if (t->clock(t->device, NVML_CLOCK_SM, &value) == NVML_SUCCESS) out.sm_mhz = value;
    if (t->power(t->device, &value) == NVML_SUCCESS) out.power_w = 1e-3 * value;
    if (t->temperature(t->device, NVML_TEMPERATURE_GPU, &value) == NVML_SUCCESS)
        out.temperature_c = value;
    if (t->reasons(t->device, &bits) == NVML_SUCCESS)
        out.throttled = (int)(bits & ~harmless & 0x7fffffff);
    return out;
}

static bool load(bench_telemetry *t, int ordinal)
{
    int (*init)(void), (*handle)(unsigned, void **);
    t->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!t->library) return false;
    const bool whole = symbol(&init, t->library, "nvmlInit_v2") &&
                       symbol(&handle, t->library, "nvmlDeviceGetHandleByIndex_v2") &&
                       symbol(&t->shutdown, t->library, "nvmlShutdown") &&
                       symbol(&t->clock, t->library, "nvmlDeviceGetClockInfo") &&
                       symbol(&t->power, t->library, "nvmlDeviceGetPowerUsage") &&
                       symbol(&t->temperature, t->library, "nvmlDeviceGetTemperature") &&
                       symbol(&t->reasons, t->library, "nvmlDeviceGetCurrentClocksThrottleReasons");
    if (!whole || init() != NVML_SUCCESS) return false;
    if (handle((unsigned)ordinal, &t->device) == NVML_SUCCESS) return true;
    t->shutdown();
    return false;
}

bench_telemetry *bench_telemetry_open(const dlf_device *device)
{
    if (strcmp(device->backend->name, "cuda") != 0) return NULL;
    bench_telemetry *t = calloc(1, sizeof *t);
    if (t && load(t, device->info.ordinal)) return t;
    if (t && t->library) dlclose(t->library);
    free(t);
    return NULL;
}

void bench_telemetry_close(bench_telemetry *t)
{
    if (!t) return;
    t->shutdown();
    dlclose(t->library);
    free(t);
}

void bench_telemetry_begin(bench_telemetry *t)
{
    if (t) t->first = now(t);
}

dlf_bench_telemetry bench_telemetry_end(bench_telemetry *t)
{
    if (!t) return unknown();
    dlf_bench_telemetry last = now(t);
    last.sm_mhz = 0.5 * (last.sm_mhz + t->first.sm_mhz);
    last.power_w = 0.5 * (last.power_w + t->first.power_w);
    last.temperature_c = 0.5 * (last.temperature_c + t->first.temperature_c);
    if (last.throttled < 0 || t->first.throttled < 0)
        last.throttled = -1;
    else
        last.throttled |= t->first.throttled;
    return last;
}

void bench_telemetry_join(dlf_bench_telemetry *sum, dlf_bench_telemetry next, int n)
{
    if (!n) {
        *sum = next;
        return;
    }
    sum->sm_mhz += (next.sm_mhz - sum->sm_mhz) / (n + 1);
    sum->power_w += (next.power_w - sum->power_w) / (n + 1);
    sum->temperature_c += (next.temperature_c - sum->temperature_c) / (n + 1);
    sum->throttled =
        sum->throttled < 0 || next.throttled < 0 ? -1 : sum->throttled | next.throttled;
}
