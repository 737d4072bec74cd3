/* SPDX-License-Identifier: MIT
 * fake_nvml.c -- an NVML for the test bed: a GPU with the memory of an H200. FAKE_NVML says what
 * goes wrong: "init", "handle", "questions" (every question is answered with `not supported`). OLD:
 * as of before 2021, without the width of the bus; NEW: with the newer name of the throttle reasons
 * only. */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int opened; /* nvmlInit without its nvmlShutdown */
static char the_gpu;

static int goes_wrong(const char *what)
{
    const char *wrong = getenv("FAKE_NVML");
    return wrong && !strcmp(wrong, what);
}

static int asked(const void *device, unsigned *out, unsigned value)
{
    if (!opened) return UNINITIALIZED;
    if (device != &the_gpu) return INVALID_ARGUMENT;
    if (goes_wrong("questions")) return NOT_SUPPORTED;
    *out = value;
    return SUCCESS;
}

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device);
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz);
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts);
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius);
int nvmlDeviceGetMaxClockInfo(void *device, int type, unsigned *mhz);
int nvmlDeviceGetMemoryBusWidth(void *device, unsigned *bits);
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits);
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits);

int nvmlInit_v2(void)
{
    if (goes_wrong("init")) return UNINITIALIZED;
    opened++;
    return SUCCESS;
}

int nvmlShutdown(void)
{
    return opened-- > 0 ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device)
{
    if (!opened) return UNINITIALIZED;
    if (goes_wrong("handle") || strcmp(bus_id, "0000:00:00.0") != 0) return NOT_FOUND;
    *device = &the_gpu;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz)
{
    return type == 1 ? asked(device, mhz, 1980) : INVALID_ARGUMENT;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    return asked(device, milliwatts, 512500);
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    return sensor == 0 ? asked(device, celsius, 61) : INVALID_ARGUMENT;
}

int nvmlDeviceGetMaxClockInfo(void *device, int type, unsigned *mhz)
{
    return type == 2 ? asked(device, mhz, 3201) : INVALID_ARGUMENT;
}

#ifndef OLD
int nvmlDeviceGetMemoryBusWidth(void *device, unsigned *bits)
{
    return asked(device, bits, 6144);
}
#endif

static int reasons(const void *device, unsigned long long *bits)
{
    unsigned low;
    const int status = asked(device, &low, 0x4 | 0x1); /* power cap; idle does not count */
    if (status == SUCCESS) *bits = low;
    return status;
}

#ifdef NEW
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits)
#else
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits)
#endif
{
    return reasons(device, bits);
}
