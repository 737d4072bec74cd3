/* SPDX-License-Identifier: MIT
 * telemetry.c -- SM clock, power, temperature, throttle reasons and the memory's specification from
 * NVML. */
#include "bench/telemetry.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_library.h"
#include "backend/measure.h"

enum { NVML_SUCCESS = 0, NVML_CLOCK_SM = 1, NVML_CLOCK_MEM = 2, NVML_TEMPERATURE_GPU = 0 };
/* nvmlClocksEventReason*: idle (1) and application clocks (2) are no throttling. */
static const unsigned long long harmless = 3;

/* Of the questions each may be missing (NULL): what it would say is not known then. */
struct bench_telemetry {
    void *library, *device;
    int (*shutdown)(void);
    int (*clock)(void *device, int type, unsigned *mhz);
    int (*power)(void *device, unsigned *milliwatts);
    int (*temperature)(void *device, int sensor, unsigned *celsius);
    int (*reasons)(void *device, unsigned long long *bits);
    int (*max_clock)(void *device, int type, unsigned *mhz);
    int (*bus_width)(void *device, unsigned *bits);
    dlf_bench_telemetry first;
};

static dlf_bench_telemetry unknown(void)
{
    return (dlf_bench_telemetry){NAN, NAN, NAN, -1};
}

static dlf_bench_telemetry now(const bench_telemetry *t)
{
    dlf_bench_telemetry out = unknown();
    unsigned value;
    unsigned long long bits;
    if (t->clock && t->clock(t->device, NVML_CLOCK_SM, &value) == NVML_SUCCESS) out.sm_mhz = value;
    if (t->power && t->power(t->device, &value) == NVML_SUCCESS) out.power_w = 1e-3 * value;
    if (t->temperature && t->temperature(t->device, NVML_TEMPERATURE_GPU, &value) == NVML_SUCCESS)
        out.temperature_c = value;
    if (t->reasons && t->reasons(t->device, &bits) == NVML_SUCCESS)
        out.throttled = (int)(bits & ~harmless & 0x7fffffff);
    return out;
}

static void find_questions(bench_telemetry *t)
{
    const dlf_cuda_wanted wanted[] = {
        {&t->clock, "nvmlDeviceGetClockInfo"},
        {&t->power, "nvmlDeviceGetPowerUsage"},
        {&t->temperature, "nvmlDeviceGetTemperature"},
        {&t->reasons, "nvmlDeviceGetCurrentClocksThrottleReasons"}, /* its name until 2023 */
        {&t->max_clock, "nvmlDeviceGetMaxClockInfo"},
        {&t->bus_width, "nvmlDeviceGetMemoryBusWidth"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        (void)dlf_cuda_symbols(t->library, &wanted[i], 1);
    const dlf_cuda_wanted newer = {&t->reasons, "nvmlDeviceGetCurrentClocksEventReasons"};
    if (!t->reasons) (void)dlf_cuda_symbols(t->library, &newer, 1);
}

/* By its place on the bus: NVML counts all GPUs of the machine, CUDA those that are visible. */
static bool load(bench_telemetry *t, const dlf_device *device)
{
    static const char *const names[] = {"libnvidia-ml.so.1", NULL};
    int (*init)(void), (*handle)(const char *, void **);
    char bus_id[32];
    if (!dlf_cuda_library_wanted("DLF_NVML", device->info.name)) return false;
    t->library = dlf_cuda_library("DLF_NVML", names);
    if (!t->library) return false;
    const dlf_cuda_wanted wanted[] = {{&init, "nvmlInit_v2"},
                                      {&handle, "nvmlDeviceGetHandleByPciBusId_v2"},
                                      {&t->shutdown, "nvmlShutdown"}};
    if (!dlf_cuda_symbols(t->library, wanted, 3) || init() != NVML_SUCCESS) return false;
    find_questions(t);
    if (dlf_cuda_pci_bus_id(device, bus_id, sizeof bus_id) &&
        handle(bus_id, &t->device) == NVML_SUCCESS)
        return true;
    t->shutdown();
    return false;
}

bench_telemetry *bench_telemetry_open(const dlf_device *device)
{
    if (strcmp(device->backend->name, "cuda") != 0) return NULL;
    bench_telemetry *t = calloc(1, sizeof *t);
    if (t && load(t, device)) return t;
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

double bench_telemetry_spec(const bench_telemetry *t)
{
    unsigned mhz, bits;
    if (!t || !t->max_clock || !t->bus_width) return 0.0;
    if (t->max_clock(t->device, NVML_CLOCK_MEM, &mhz) != NVML_SUCCESS) return 0.0;
    if (t->bus_width(t->device, &bits) != NVML_SUCCESS) return 0.0;
    return 2e-3 * mhz * (bits / 8.0);
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
