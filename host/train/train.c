/* SPDX-License-Identifier: MIT
 * train.c -- one step of a population, and what is decided between steps. */
#include "dlf/train.h"

#include <math.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "graph/graph_internal.h"
#include "train/train_internal.h"

/* ---- optimisers and schedules ---- */

dlf_optimiser dlf_sgd(double momentum, double weight_decay)
{
    return (dlf_optimiser){.kind = DLF_SGD, .momentum = momentum, .weight_decay = weight_decay};
}
dlf_optimiser dlf_adam(double weight_decay)
{
    return (dlf_optimiser){DLF_ADAM, 0.0, 0.9, 0.999, 1e-8, weight_decay};
}
dlf_optimiser dlf_adamw(double weight_decay)
{
    return (dlf_optimiser){DLF_ADAMW, 0.0, 0.9, 0.999, 1e-8, weight_decay};
}

double dlf_schedule_factor(dlf_schedule s, int64_t t)
{
    const double warm = s.warmup > t ? (double)(t + 1) / s.warmup : 1.0;
    const double part = s.steps > 0 ? (double)t / s.steps : 1.0;
    double f = 1.0;
    switch (s.kind) {
    case DLF_SCHEDULE_CONSTANT: break;
    case DLF_SCHEDULE_COSINE:
        f = part < 1.0 ? s.final + (1.0 - s.final) * 0.5 * (1.0 + cos(acos(-1.0) * part)) : s.final;
        break;
    case DLF_SCHEDULE_STEP: f = pow(s.final, floor(part)); break;
    case DLF_SCHEDULE_LINEAR: f = part < 1.0 ? 1.0 + (s.final - 1.0) * part : s.final; break;
    }
    return warm * f;
}

/* ---- an epoch's tables ---- */

/* A fresh permutation per draw; owners with equal draws see equal batches. */
static dlf_status shuffle(dlf_train *t)
{
    const int64_t O = t->owners, B = t->batch;
    int32_t *permutation = malloc((size_t)t->rows * sizeof *permutation);
    if (!permutation) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    for (int64_t p = 0; p < O; p++) {
        if (p == 0 || t->draw[p] != t->draw[p - 1])
            dlf_permutation(permutation, t->rows, t->spec.seed,
                            dlf_stream(DLF_PURPOSE_SHUFFLE, (uint32_t)t->epoch + 1),
                            (uint32_t)t->draw[p]);
        for (int64_t s = 0; s < t->epoch_steps; s++)
            for (int64_t i = 0; i < B; i++)
                t->order[(s * O + p) * B + i] = t->base[p] + permutation[s * B + i];
    }
    free(permutation);
    return dlf_tensor_upload_i32(&t->orders, t->order);
}

static dlf_status upload_rates(dlf_train *t)
{
    const int P = t->members, S = t->epoch_steps;
    double *rate = malloc((size_t)S * (size_t)P * sizeof *rate);
    if (!rate) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    const int64_t first = t->steps_done - t->step;
    for (int s = 0; s < S; s++) {
        const double factor = dlf_schedule_factor(t->spec.schedule, first + s);
        for (int p = 0; p < P; p++) rate[s * P + p] = t->stopped[p] ? 0.0 : t->lr[p] * factor;
    }
    const dlf_status status = dlf_tensor_upload_f64(&t->rates, rate);
    free(rate);
    t->tables_stale = status != DLF_OK;
    return status;
}

static dlf_status upload_clocks(dlf_train *t)
{
    int32_t *clock = malloc((size_t)t->epoch_steps * sizeof *clock);
    if (!clock) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    for (int s = 0; s < t->epoch_steps; s++) clock[s] = (int32_t)(t->steps_done + s);
    const dlf_status status = dlf_tensor_upload_i32(&t->clocks, clock);
    free(clock);
    return status;
}

static dlf_status start_epoch(dlf_train *t)
{
    DLF_TRY(shuffle(t));
    DLF_TRY(upload_clocks(t));
    t->epoch++;
    t->step = 0;
    t->tables_stale = true;
    return DLF_OK;
}

dlf_status train_resume(dlf_train *t, int epoch, int step, int64_t steps_done)
{
    t->epoch = epoch;
    t->step = step;
    t->steps_done = steps_done;
    if (epoch == 0) return DLF_OK;
    t->epoch = epoch - 1; /* begun again, at its own clock */
    t->steps_done = steps_done - step;
    DLF_TRY(start_epoch(t));
    t->step = step;
    t->steps_done = steps_done;
    return DLF_OK;
}

/* What is different in this step, moved to where the ops (and their recording) look for it. */
static dlf_status turn_page(dlf_train *t)
{
    if (t->epoch == 0 || t->step == t->epoch_steps) DLF_TRY(start_epoch(t));
    if (t->tables_stale) DLF_TRY(upload_rates(t));
    dlf_tensor *clock = dlf_graph_clock(t->g);
    const struct {
        dlf_tensor *to;
        const dlf_tensor *table;
    } pages[] = {{&t->index, &t->orders}, {&t->rate, &t->rates}, {clock, &t->clocks}};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        const dlf_tensor row = dlf_tensor_slice(pages[i].table, t->step, 1);
        const dlf_tensor page = dlf_tensor_reshape(&row, pages[i].to->ndim, pages[i].to->shape);
        DLF_TRY(dlf_tensor_copy(pages[i].to, &page));
    }
    return DLF_OK;
}

/* ---- one step ---- */

dlf_status train_gather(dlf_train *t, dlf_node node, const dlf_tensor *all)
{
    if (!node.id) return DLF_OK;
    const dlf_tensor *value = dlf_graph_value(t->g, node);
    const int64_t shape[] = {t->owners, t->batch, all->ndim > 1 ? all->shape[1] : 1};
    dlf_tensor rows = dlf_tensor_reshape(value, all->ndim > 1 ? 3 : 2, shape);
    return dlf_gather_rows(&rows, all, &t->index);
}

/* Some members of a training, beside the lane of the graph that stands for them. */
typedef struct part {
    dlf_train *t;
    dlf_graph *g;
    int first, count;
} part;

static dlf_tensor members_of(const part *p, const dlf_tensor *all)
{
    return graph_part(p->g, all, p->first, p->count);
}

/* The rows of this step into an input that has one batch per member; shared ones come before. */
static dlf_status gather_own(const part *p, dlf_node node, const dlf_tensor *all)
{
    if (!node.id) return DLF_OK;
    const dlf_tensor *value = dlf_graph_value(p->g, node), index = members_of(p, &p->t->index);
    const int64_t shape[] = {p->count, p->t->batch, all->ndim > 1 ? all->shape[1] : 1};
    dlf_tensor rows = dlf_tensor_reshape(value, all->ndim > 1 ? 3 : 2, shape), source = *all;
    source.device = p->g->device;
    return dlf_gather_rows(&rows, &source, &index);
}

static dlf_status gather_batch(const part *p)
{
    const dlf_train *t = p->t;
    if (t->owners != t->members) return DLF_OK;
    DLF_TRY(gather_own(p, t->x, &t->all_x));
    DLF_TRY(gather_own(p, t->label, &t->all_label));
    return gather_own(p, t->target, &t->all_target);
}

static dlf_status gather_shared(dlf_train *t)
{
    if (t->owners == t->members) return DLF_OK;
    DLF_TRY(train_gather(t, t->x, &t->all_x));
    DLF_TRY(train_gather(t, t->label, &t->all_label));
    return train_gather(t, t->target, &t->all_target);
}

static dlf_status guard(const part *p)
{
    dlf_train *t = p->t;
    dlf_tensor lr_now = members_of(p, &t->lr_now), first_bad = members_of(p, &t->first_bad);
    const dlf_tensor rate = members_of(p, &t->rate);
    for (int k = 0; k < t->losses; k++) {
        const int64_t shape[] = {t->members, DLF_MOMENTS};
        const dlf_tensor slice = dlf_tensor_slice(&t->moments, k, 1);
        const dlf_tensor all = dlf_tensor_reshape(&slice, 2, shape);
        dlf_tensor moments = members_of(p, &all);
        DLF_TRY(dlf_moments(&moments, dlf_graph_value(p->g, t->loss[k])));
        DLF_TRY(dlf_step_guard(&lr_now, &first_bad, &rate, &moments, dlf_graph_clock(p->g)));
    }
    return DLF_OK;
}

static dlf_status update(const part *p)
{
    dlf_train *t = p->t;
    const dlf_optimiser o = t->spec.optimiser;
    dlf_tensor *w = dlf_graph_parameters(p->g);
    const dlf_tensor *grads = dlf_graph_gradients(p->g);
    const dlf_tensor lr = members_of(p, t->spec.keep_diverged ? &t->rate : &t->lr_now);
    dlf_tensor g_scale = {0}, velocity = {0}, square = {0};
    if (t->spec.max_norm) {
        g_scale = members_of(p, &t->g_scale);
        dlf_tensor norm = members_of(p, &t->norm);
        const dlf_tensor clip = members_of(p, &t->clip);
        DLF_TRY(dlf_clip_by_norm(&g_scale, &norm, grads, &clip));
    }
    const dlf_tensor *scale = g_scale.data ? &g_scale : NULL;
    if (t->velocity.data) velocity = members_of(p, &t->velocity);
    if (o.kind == DLF_SGD)
        return dlf_sgd_step(w, velocity.data ? &velocity : NULL, grads, &lr, scale,
                            (dlf_sgd_args){o.momentum, o.weight_decay});
    square = members_of(p, &t->square);
    const dlf_adam_args args = {o.beta1, o.beta2, o.eps, o.weight_decay, o.kind == DLF_ADAMW, 0};
    return dlf_adam_step(w, &velocity, &square, grads, &lr, scale, dlf_graph_clock(p->g), args);
}

static dlf_status step_body(dlf_graph *lane, int first, int count, void *user)
{
    const part p = {user, lane, first, count};
    DLF_TRY(gather_batch(&p));
    DLF_TRY(graph_run_forward(lane, DLF_TRAINING));
    DLF_TRY(guard(&p));
    DLF_TRY(graph_run_backward(lane));
    return update(&p);
}

static dlf_status probe_body(dlf_graph *lane, int first, int count, void *user)
{
    const part p = {user, lane, first, count};
    DLF_TRY(gather_batch(&p));
    DLF_TRY(graph_run_forward(lane, DLF_TRAINING));
    DLF_TRY(guard(&p)); /* for dlf_train_loss */
    return graph_run_backward(lane);
}

static dlf_status step_ops(dlf_train *t)
{
    DLF_TRY(gather_shared(t));
    return graph_for_members(t->g, step_body, t);
}

/* The first step runs the ops one by one (they may allocate scratch); the second records them. */
static dlf_status run_step(dlf_train *t)
{
    dlf_device *dev = dlf_graph_device(t->g);
    if (!dlf_device_records(dev) || t->steps_done == 0) return step_ops(t);
    if (!t->recording) {
        DLF_TRY(dlf_record_begin(dev));
        const dlf_status status = step_ops(t);
        const dlf_status ended = dlf_record_end(dev, &t->recording);
        if (status != DLF_OK) { /* half a step must not be replayed */
            dlf_recording_free(t->recording);
            t->recording = NULL;
            return status;
        }
        DLF_TRY(ended);
    }
    return dlf_replay(t->recording);
}

dlf_status dlf_train_step(dlf_train *t)
{
    DLF_TRY(turn_page(t));
    DLF_TRY(run_step(t));
    t->step++;
    t->steps_done++;
    return DLF_OK;
}

dlf_status dlf_train_run(dlf_train *t, int steps)
{
    for (int i = 0; i < steps; i++) DLF_TRY(dlf_train_step(t));
    return DLF_OK;
}

dlf_status dlf_train_probe(dlf_train *t)
{
    DLF_TRY(turn_page(t));
    DLF_TRY(gather_shared(t));
    return graph_for_members(t->g, probe_body, t);
}

int dlf_train_epoch_steps(const dlf_train *t)
{
    return t->epoch_steps;
}
int64_t dlf_train_steps_done(const dlf_train *t)
{
    return t->steps_done;
}

dlf_status dlf_train_loss(dlf_train *t, double *loss)
{
    const int P = t->members;
    double *host = malloc((size_t)(t->losses * P) * DLF_MOMENTS * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    const dlf_status status = dlf_tensor_download_f64(host, &t->moments);
    for (int p = 0; p < P && status == DLF_OK; p++) {
        loss[p] = 0.0;
        for (int k = 0; k < t->losses; k++)
            loss[p] += t->scale[k] * host[(k * P + p) * DLF_MOMENTS + DLF_MOMENT_SUM];
    }
    free(host);
    return status;
}

/* ---- members that stop ---- */

dlf_status dlf_train_diverged(dlf_train *t, int32_t *step)
{
    return dlf_tensor_download_i32(step, &t->first_bad);
}

static dlf_status check_member(const dlf_train *t, int member)
{
    if (member >= 0 && member < t->members) return DLF_OK;
    return dlf_fail(DLF_ERR_ARG, "training: there is no member %d; the last is %d", member,
                    t->members - 1);
}

dlf_status dlf_train_stop(dlf_train *t, int member)
{
    DLF_TRY(check_member(t, member));
    t->stopped[member] = true;
    t->tables_stale = true;
    return DLF_OK;
}

/* Copy one member's row of everything that is kept, in one direction or the other. */
static dlf_status copy_member(dlf_train *t, int member, bool keep)
{
    const dlf_tensor *pairs[2] = {dlf_graph_parameters(t->g), &t->kept};
    for (int id = 0; id <= dlf_graph_nodes(t->g); id++) {
        for (int half = 0; half < (id ? 2 : 1); half++) {
            if (id) {
                const dlf_node n = {id};
                if (!t->kept_running[id].mean.data) break;
                pairs[0] = half ? dlf_graph_running_var(t->g, n) : dlf_graph_running_mean(t->g, n);
                pairs[1] = half ? &t->kept_running[id].var : &t->kept_running[id].mean;
            }
            dlf_tensor to = dlf_tensor_slice(pairs[keep], member, 1);
            const dlf_tensor from = dlf_tensor_slice(pairs[!keep], member, 1);
            DLF_TRY(dlf_tensor_copy(&to, &from));
        }
    }
    return DLF_OK;
}

static dlf_status allocate_kept(dlf_train *t)
{
    const dlf_tensor *w = dlf_graph_parameters(t->g);
    dlf_device *dev = dlf_graph_device(t->g);
    if (t->kept.data) return DLF_OK;
    if (!t->kept_running) {
        t->kept_running = calloc((size_t)dlf_graph_nodes(t->g) + 1, sizeof *t->kept_running);
        if (!t->kept_running) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    }
    for (int id = 1; id <= dlf_graph_nodes(t->g); id++) {
        const dlf_tensor *mean = dlf_graph_running_mean(t->g, (dlf_node){id});
        train_running *kept = &t->kept_running[id];
        if (!mean || kept->var.data) continue;
        if (!kept->mean.data)
            DLF_TRY(dlf_tensor_init(&kept->mean, dev, mean->dtype, mean->ndim, mean->shape));
        DLF_TRY(dlf_tensor_init(&kept->var, dev, mean->dtype, mean->ndim, mean->shape));
    }
    return dlf_tensor_init(&t->kept, dev, w->dtype, w->ndim, w->shape);
}

dlf_status dlf_train_keep(dlf_train *t, int member)
{
    DLF_TRY(check_member(t, member));
    DLF_TRY(allocate_kept(t));
    return copy_member(t, member, true);
}

dlf_status dlf_train_restore_kept(dlf_train *t, int member)
{
    DLF_TRY(check_member(t, member));
    if (!t->kept.data) return dlf_fail(DLF_ERR_ARG, "training: nothing was kept");
    return copy_member(t, member, false);
}
