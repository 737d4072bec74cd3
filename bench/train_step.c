/* SPDX-License-Identifier: MIT
 * train_step.c -- time of one training step of a population of classifiers, as JSON. The peer
 * script bench/peers/train_step.py calls it in turns with PyTorch.
 *
 *   bench_train_step [device] [members] [batch] [steps] [network] [depth] [width] [activation]
 *
 *   mlp      `depth` hidden layers of `width` with `activation`, on the 8x8 digits
 *   lenet5   LeNet-5 as the experiment `architectures` trains it, on 1297 images of 28x28
 *   resnet   the small residual network of the same experiment, with batch norm, on the same
 *
 * A step is what dlf_train_step does: gather a minibatch, forward, loss, backward, SGD with
 * momentum, for all members. Reported is wall time per member and step, after a warm-up epoch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dlf/rng.h"
#include "dlf/train.h"
#include "experiments/classifier.h"
#include "experiments/nets_graph.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dlf_status steps_take(dlf_train *t, dlf_device *device, int steps, double *seconds)
{
    const double start = now();
    DLF_TRY(dlf_train_run(t, steps));
    DLF_TRY(dlf_device_sync(device));
    *seconds = now() - start;
    return DLF_OK;
}

enum { ROWS = 1297, SIDE = 28 };

typedef struct job {
    const char *device, *network;
    classifier_spec mlp; /* members, batch and classes of any network */
    int steps;
} job;

/* Noise with labels: time does not depend on what is on an image. */
static dlf_status images(dlf_dataset *d, int classes)
{
    *d = (dlf_dataset){.name = "noise",
                       .train = ROWS,
                       .features = SIDE * SIDE,
                       .classes = classes,
                       .channels = 1,
                       .height = SIDE,
                       .width = SIDE,
                       .x = malloc((size_t)ROWS * SIDE * SIDE * sizeof *d->x),
                       .label = malloc(ROWS * sizeof *d->label)};
    if (!d->x || !d->label) return dlf_fail(DLF_ERR_OOM, "out of memory");
    const uint32_t stream = dlf_stream(DLF_PURPOSE_INPUT, 0);
    for (int32_t i = 0; i < ROWS * SIDE * SIDE; i++)
        d->x[i] = dlf_rng_normal(1, stream, 0, (uint64_t)i);
    for (int i = 0; i < ROWS; i++) d->label[i] = i % classes;
    return DLF_OK;
}

static dlf_status network_new(dlf_graph **out, dlf_device *device, const job *j, dlf_dataset *data)
{
    const classifier_spec *s = &j->mlp;
    if (strcmp(j->network, "mlp") == 0) {
        DLF_TRY(dlf_digits_load(data));
        return classifier_new(out, device, s);
    }
    const bool lenet = strcmp(j->network, "lenet5") == 0;
    if (!lenet && strcmp(j->network, "resnet") != 0)
        return dlf_fail(DLF_ERR_ARG, "no network '%s': mlp, lenet5, resnet", j->network);
    DLF_TRY(images(data, s->classes));
    net_totals sum;
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "out of memory");
    (lenet ? net_lenet5_28 : net_resnet_28)(n, s->classes);
    dlf_status status = net_count(n, 1, SIDE, SIDE, &sum);
    const net_shape shape = {s->members, s->batch, 1, SIDE, SIDE};
    if (status == DLF_OK) status = net_graph_new(out, device, n, &shape);
    net_free(n);
    return status;
}

static dlf_status measure(const job *j)
{
    dlf_status status;
    dlf_device *device = NULL;
    dlf_dataset data = {0};
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    const classifier_spec *s = &j->mlp;
    const size_t P = (size_t)s->members;
    double *lr = malloc(2 * P * sizeof *lr), *loss = lr + P, seconds = 0.0;
    if (!lr) return dlf_fail(DLF_ERR_OOM, "out of memory");
    for (size_t p = 0; p < P; p++) lr[p] = 0.05 / (double)(1u << p % 8); /* eight learning rates */
    DLF_TRY_DONE(dlf_device_open(&device, j->device));
    DLF_TRY_DONE(network_new(&g, device, j, &data));
    DLF_TRY_DONE(dlf_graph_initialise(g, 1, NULL));
    const dlf_train_spec training = {.seed = 1, .lr = lr, .optimiser = dlf_sgd(0.9, 0.0)};
    DLF_TRY_DONE(dlf_train_new(&t, g, &data, &training));
    DLF_TRY_DONE(steps_take(t, device, dlf_train_epoch_steps(t), &seconds));
    DLF_TRY_DONE(steps_take(t, device, j->steps, &seconds));
    DLF_TRY_DONE(dlf_train_loss(t, loss));
    const dlf_graph_memory m = dlf_graph_memory_of(g);
    printf("{\"us_per_member_step\": %.4f, \"members\": %d, \"network\": \"%s\", \"batch\": %d, "
           "\"steps\": %d, \"loss\": %.6f, \"planned_bytes\": %lld, \"lower_bound_bytes\": %lld, "
           "\"device\": \"%s\", \"detail\": \"%s\", \"threads\": %d}\n",
           1e6 * seconds / j->steps / s->members, s->members, j->network, s->batch, j->steps,
           loss[0], (long long)m.planned, (long long)m.lower_bound, device->info.name,
           device->info.detail, device->info.threads);
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    dlf_dataset_free(&data);
    dlf_device_close(device);
    free(lr);
    return status;
}

static int number(int argc, char **argv, int i, int fallback)
{
    return argc > i ? atoi(argv[i]) : fallback;
}

int main(int argc, char **argv)
{
    job j = {.device = argc > 1 ? argv[1] : "cpu",
             .network = argc > 5 ? argv[5] : "mlp",
             .steps = number(argc, argv, 4, 200),
             .mlp = {.members = number(argc, argv, 2, 16),
                     .batch = number(argc, argv, 3, 64),
                     .inputs = 64,
                     .depth = number(argc, argv, 6, 8),
                     .width = number(argc, argv, 7, 64),
                     .classes = 10,
                     .init = dlf_lecun()}};
    dlf_status status = dlf_activation_find(&j.mlp.f, argc > 8 ? argv[8] : "sigmoid");
    if (status == DLF_OK) status = measure(&j);
    if (status != DLF_OK) fprintf(stderr, "bench_train_step: %s\n", dlf_error_message());
    return dlf_status_exit_code(status);
}
