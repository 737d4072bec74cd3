/* SPDX-License-Identifier: MIT
 * train_mlp.c -- time of one training step of a population of digit classifiers, as JSON. The peer
 * script bench/peers/train_mlp.py calls it in turns with PyTorch.
 *
 *   bench_train_mlp [device] [members] [depth] [width] [batch] [steps] [activation]
 *
 * A step is what dlf_train_step does: gather a minibatch, forward, loss, backward, SGD with
 * momentum, for all members. Reported is wall time per member and step, after a warm-up epoch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dlf/train.h"
#include "experiments/classifier.h"

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

static dlf_status measure(const char *device_name, classifier_spec spec, int steps)
{
    dlf_status status;
    dlf_device *device = NULL;
    dlf_dataset data = {0};
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    const size_t P = (size_t)spec.members;
    double *lr = malloc(2 * P * sizeof *lr), *loss = lr + P, seconds = 0.0;
    if (!lr) {
        status = dlf_fail(DLF_ERR_OOM, "out of memory");
        goto done;
    }
    for (size_t p = 0; p < P; p++) lr[p] = 0.05 / (double)(1u << p % 8); /* eight learning rates */
    DLF_TRY_DONE(dlf_device_open(&device, device_name));
    DLF_TRY_DONE(dlf_digits_load(&data));
    DLF_TRY_DONE(classifier_new(&g, device, &spec));
    DLF_TRY_DONE(dlf_graph_initialise(g, 1, NULL));
    const dlf_train_spec training = {.seed = 1, .lr = lr, .optimiser = dlf_sgd(0.9, 0.0)};
    DLF_TRY_DONE(dlf_train_new(&t, g, &data, &training));
    DLF_TRY_DONE(steps_take(t, device, dlf_train_epoch_steps(t), &seconds));
    DLF_TRY_DONE(steps_take(t, device, steps, &seconds));
    DLF_TRY_DONE(dlf_train_loss(t, loss));
    const dlf_graph_memory m = dlf_graph_memory_of(g);
    printf("{\"us_per_member_step\": %.4f, \"members\": %d, \"depth\": %d, \"width\": %d, "
           "\"batch\": %d, \"steps\": %d, \"activation\": \"%s\", \"loss\": %.6f, "
           "\"planned_bytes\": %lld, \"lower_bound_bytes\": %lld, \"device\": \"%s\", "
           "\"detail\": \"%s\", \"threads\": %d}\n",
           1e6 * seconds / steps / spec.members, spec.members, spec.depth, spec.width, spec.batch,
           steps, dlf_activation_name(spec.f.kind), loss[0], (long long)m.planned,
           (long long)m.lower_bound, device->info.name, device->info.detail, device->info.threads);
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
    classifier_spec spec = {.members = number(argc, argv, 2, 16),
                            .batch = number(argc, argv, 5, 64),
                            .inputs = 64,
                            .width = number(argc, argv, 4, 64),
                            .depth = number(argc, argv, 3, 8),
                            .classes = 10,
                            .init = dlf_lecun()};
    dlf_status status = dlf_activation_find(&spec.f, argc > 7 ? argv[7] : "sigmoid");
    if (status == DLF_OK)
        status = measure(argc > 1 ? argv[1] : "cpu", spec, number(argc, argv, 6, 200));
    if (status != DLF_OK) fprintf(stderr, "bench_train_mlp: %s\n", dlf_error_message());
    return dlf_status_exit_code(status);
}
