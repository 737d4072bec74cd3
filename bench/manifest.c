/* SPDX-License-Identifier: MIT
 * manifest.c -- where, when and how a benchmark ran. */
#include "bench/manifest.h"

#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "build_info.h"
#include "git_hash.h"

void bench_utc_now(char *out, size_t size)
{
    const time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* How busy the machine was with other work; -1 where nobody says. */
static double load_average(void)
{
    double load = 0.0;
    return getloadavg(&load, 1) == 1 ? load : -1.0;
}

dlf_status bench_manifest(char **out, const dlf_bench_options *o, const bench_circumstances *c)
{
    const dlf_device_info *i = &o->device->info;
    json_t *versions = json_array();
    for (const char *const *p = c->peers; *p; p++) json_array_append_new(versions, json_string(*p));
    json_t *device = json_pack("{s:s, s:s, s:s, s:i}", "backend", i->backend, "name", i->name,
                               "detail", i->detail, "threads", i->threads);
    json_t *settings =
        json_pack("{s:i, s:i, s:i, s:i, s:f, s:f, s:i, s:b}", "passes", o->passes, "pinned_threads",
                  c->pinned, "min_rounds", o->min_rounds, "max_rounds", o->max_rounds, "max_noise",
                  o->max_noise, "seconds_per_case", o->seconds, "distort", (int)o->distort, "gate",
                  (int)o->gate);
    json_t *m =
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:f, s:s, s:f, s:o, s:o, s:o}", "version", DLF_VERSION,
                  "git", DLF_GIT, "command", c->command, "seed", (json_int_t)o->seed, "started",
                  c->started, "seconds", c->seconds, "build", DLF_BUILD, "load_average",
                  load_average(), "device", device, "settings", settings, "peers", versions);
    *out = m ? json_dumps(m, JSON_COMPACT) : NULL;
    json_decref(m);
    return *out ? DLF_OK : dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for the manifest");
}
