/* SPDX-License-Identifier: MIT
 * peer.c -- a contestant in a process of its own: one JSON line in, one out. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/runner.h"
#include "bench/store.h"
#include "data/embedded.h"

struct bench_peer {
    char name[16], version[128];
    bool is_dlf; /* takes whole cases, and leaves no worker spinning for long */
    pid_t process;
    FILE *to, *from;
};

/* It travels inside the program, and is every peer that is PyTorch or builds on it. */
static char *peer_script(void)
{
    size_t size = 0;
    const unsigned char *data = dlf_embedded_find("bench/peers/torch_peer.py", &size);
    return data ? strndup((const char *)data, size) : NULL;
}

/* The child: standard input and output are the pipes, the error stream stays. The pipes of other
 * peers close by themselves: one that kept them open would keep those peers alive. */
static void become(const char *const *words, const int in[2], const int out[2])
{
    setpgid(0, 0); /* an interrupt is for us: we end it */
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execvp(words[0], (char *const *)words);
    _exit(127);
}

static dlf_status spawn(bench_peer *p, const char *const *words)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0)
        return dlf_fail(DLF_ERR_INTERNAL, "dlf bench: no pipe: %s", strerror(errno));
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return dlf_fail(DLF_ERR_INTERNAL, "dlf bench: no pipe: %s", strerror(errno));
    }
    p->process = fork();
    if (p->process == 0) become(words, in, out);
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    if (p->process < 0 || !p->to || !p->from)
        return dlf_fail(DLF_ERR_INTERNAL, "dlf bench: cannot start %s: %s", words[0],
                        strerror(errno));
    return DLF_OK;
}

/* *answer is the peer's object, to be released. `request` is taken. */
static dlf_status ask(bench_peer *p, json_t *request, json_t **answer)
{
    *answer = NULL;
    char *line = request ? json_dumps(request, JSON_COMPACT) : NULL, *text = NULL;
    size_t size = 0;
    json_decref(request);
    if (!line) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a request");
    const bool sent = fprintf(p->to, "%s\n", line) > 0 && fflush(p->to) == 0;
    free(line);
    if (sent && getline(&text, &size, p->from) > 0) *answer = json_loads(text, 0, NULL);
    free(text);
    if (json_is_object(*answer)) return DLF_OK;
    json_decref(*answer);
    *answer = NULL;
    return dlf_fail(DLF_ERR_INTERNAL,
                    "dlf bench: the peer '%s' gave no answer; it may have died, see above",
                    p->name);
}

/* `hint` is what the message ends with when it does not work. */
static dlf_status start(bench_peer **out, const char *name, const char *const *words,
                        const dlf_bench_options *o, const char *hint)
{
    *out = NULL;
    const dlf_device_info *device = &o->device->info;
    bench_peer *p = calloc(1, sizeof *p);
    if (!p) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a peer");
    json_t *answer = NULL;
    snprintf(p->name, sizeof p->name, "%s", name);
    dlf_status status = spawn(p, words);
    if (status == DLF_OK)
        status =
            ask(p,
                json_pack("{s:s, s:s, s:i, s:b, s:i, s:f}", "peer", name, "device", device->backend,
                          "threads", device->threads, "pin", (int)o->pin, "distort",
                          strcmp(name, DLF_BENCH_NOW) ? 0 : (int)o->distort, "hot_ns", o->hot_ns),
                &answer);
    const char *version = json_string_value(json_object_get(answer, "version"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (status == DLF_OK && version)
        snprintf(p->version, sizeof p->version, "%s", version);
    else
        status = dlf_fail(DLF_ERR_NOT_FOUND, "the peer %s does not work with %s: %s (%s)", name,
                          words[0], error ? error : "it did not start", hint);
    json_decref(answer);
    if (status == DLF_OK)
        *out = p;
    else
        bench_peer_stop(p);
    return status;
}

dlf_status bench_peer_start(bench_peer **out, const char *name, const dlf_bench_options *o)
{
    *out = NULL;
    const char *chosen = o->python && *o->python ? o->python : getenv("DLF_PYTHON");
    if (!chosen || !*chosen) chosen = "python3";
    char *script = peer_script();
    if (!script) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a script");
    const char *const words[] = {chosen, "-u", "-c", script, NULL};
    const dlf_status status = start(out, name, words, o, "--python names another interpreter");
    free(script);
    return status;
}

dlf_status bench_peer_start_dlf(bench_peer **out, const char *name, const dlf_bench_options *o)
{
    const bool now = !strcmp(name, DLF_BENCH_NOW);
    const char *const words[] = {now ? "/proc/self/exe" : o->baseline, "bench", "--serve", NULL};
    DLF_TRY(start(out, name, words, o, "--baseline is the program dlf of another build"));
    (*out)->is_dlf = true;
    return DLF_OK;
}

void bench_peer_stop(bench_peer *p)
{
    if (!p) return;
    if (p->to) fclose(p->to); /* end of its input: it leaves */
    if (p->from) fclose(p->from);
    if (p->process > 0) waitpid(p->process, NULL, 0);
    free(p);
}

const char *bench_peer_version(const bench_peer *p)
{
    return p->version;
}

static dlf_status sample_calls(bench_runner *r, dlf_bench_mode mode, int calls, double *ns)
{
    json_t *answer;
    DLF_TRY(ask(r->peer, json_pack("{s:s, s:i}", "run", dlf_bench_mode_name(mode), "calls", calls),
                &answer));
    const json_t *value = json_object_get(answer, "ns");
    *ns = json_is_number(value) ? json_number_value(value) : NAN;
    json_decref(answer);
    return DLF_OK;
}

static dlf_status sample(bench_runner *r, dlf_bench_mode mode, double *ns)
{
    /* A framework's workers spin for some milliseconds after their last region, ours for a tenth of
     * one; both sides of a comparison with ourselves begin with everybody asleep. */
    const struct timespec pause = {0, r->peer->is_dlf ? 300000 : 5000000};
    if (r->peer->is_dlf) nanosleep(&pause, NULL);
    DLF_TRY(sample_calls(r, mode, mode == DLF_BENCH_HOT ? r->calls : 1, ns));
    nanosleep(&pause, NULL);
    return DLF_OK;
}

static json_t *description(const dlf_bench_case *c)
{
    json_t *shape = json_array();
    for (int i = 0; i < c->ndim; i++)
        json_array_append_new(shape, json_integer((json_int_t)c->shape[i]));
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:I}", "op", c->op, "direction", c->direction,
                          "dtype", c->tf32 ? "tf32" : dlf_dtype_name(c->dtype), "layout",
                          c->layout == DLF_NHWC ? "nhwc" : "nchw", "shape", shape, "groups",
                          (json_int_t)c->groups);
    if (c->outputs)
        json_object_set_new(o, "convolution",
                            json_pack("[I,I,I,I]", (json_int_t)c->outputs, (json_int_t)c->kernel,
                                      (json_int_t)c->stride, (json_int_t)c->pad));
    return o;
}

/* How far its result is off, as it says itself (in JSON there is no infinity), if it was looked at.
 */
static void take_check(bench_runner *r, const json_t *off, double tolerance)
{
    if (!off) return;
    r->check = (dlf_bench_check){.done = true,
                                 .error = json_is_number(off) ? json_number_value(off) : INFINITY,
                                 .tolerance = tolerance,
                                 .same_bits = true /* is not looked at */};
    r->check.ok = r->check.error <= tolerance;
    if (!r->check.ok) r->modes = 0;
}

dlf_status bench_runner_of_peer(bench_runner *r, bench_peer *p, const dlf_bench_case *c,
                                double hot_ns, double tolerance)
{
    *r = (bench_runner){.sample = sample, .peer = p, .calls = 1, .launches = -1.0, .host_ns = NAN};
    snprintf(r->name, sizeof r->name, "%s", p->name);
    json_t *answer;
    DLF_TRY(ask(p,
                p->is_dlf ? json_pack("{s:o}", "prepare", bench_case_to_json(c))
                          : json_pack("{s:o, s:b}", "prepare", description(c), "gate",
                                      (int)!isnan(tolerance)),
                &answer));
    const char *error = json_string_value(json_object_get(answer, "error"));
    const json_t *modes = json_object_get(answer, "modes");
    size_t i;
    json_t *mode;
    json_array_foreach(modes, i,
                       mode) for (int m = 0; m < DLF_BENCH_MODES;
                                  m++) if (json_is_string(mode) &&
                                           !strcmp(json_string_value(mode),
                                                   dlf_bench_mode_name((dlf_bench_mode)m)))
        r->modes |= 1u << m;
    const char *note = json_string_value(json_object_get(answer, "note"));
    if (note) snprintf(r->note, sizeof r->note, "%s", note);
    if (!r->modes) snprintf(r->note, sizeof r->note, "%s", error ? error : "does not take part");
    if (!isnan(tolerance)) take_check(r, json_object_get(answer, "off"), tolerance);
    json_decref(answer);
    if (!(r->modes & 1u << DLF_BENCH_HOT)) return DLF_OK;
    double ns;
    DLF_TRY(sample_calls(r, DLF_BENCH_HOT, 1, &ns));
    DLF_TRY(sample_calls(r, DLF_BENCH_HOT, 2, &ns));
    if (ns > 0.0) r->calls = bench_hot_calls(hot_ns, ns, ns);
    return DLF_OK;
}
