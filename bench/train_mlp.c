/* SPDX-License-Identifier: MIT
 * train_mlp.c -- time of one training step of a population of digit classifiers, as JSON. The peer
 * script bench/peers/train_mlp.py calls it in turns with PyTorch.
 *
 *   bench_train_mlp [device] [members] [depth] [width] [batch] [steps] [activation]
 *
 * A step is what dlf_training_step does: gather a minibatch, forward, loss, backward, SGD with
 * momentum, for all members. Reported is wall time per member and step, after a warm-up epoch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dlf/mlp.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dlf_status steps_take(dlf_training *t, dlf_device *device, int steps, double *seconds)
{
    const double start = now();
    for (int i = 0; i < steps; i++) DLF_TRY(dlf_training_step(t));
    DLF_TRY(dlf_device_sync(device));
    *seconds = now() - start;
    return DLF_OK;
}

static dlf_status measure(const char *device_name, dlf_mlp_spec spec, int steps)
{
    dlf_status status;
    dlf_device *device = NULL;
    dlf_dataset data = {0};
    dlf_mlp m = {0};
    dlf_training *t = NULL;
    const size_t P = (size_t)spec.members;
    int32_t *draw = malloc(P * sizeof *draw);
    double *values = malloc(3 * P * sizeof *values), *loss = malloc(P * sizeof *loss),
           seconds = 0.0;
    if (!draw || !values || !loss) {
        status = dlf_fail(DLF_ERR_OOM, "out of memory");
        goto done;
    }
    double *sigma_w2 = values, *sigma_b2 = values + P, *lr = values + 2 * P;
    for (size_t p = 0; p < P; p++) {
        draw[p] = (int32_t)p;
        sigma_w2[p] = 1.0;
        sigma_b2[p] = 0.0;
        lr[p] = 0.05;
    }
    DLF_TRY_DONE(dlf_device_open(&device, device_name));
    DLF_TRY_DONE(dlf_digits_load(&data));
    DLF_TRY_DONE(dlf_mlp_new(&m, device, &spec));
    DLF_TRY_DONE(dlf_mlp_init(&m, 1, draw, sigma_w2, sigma_b2));
    const dlf_training_spec training = {
        .seed = 1, .draw = draw, .lr = lr, .momentum = 0.9, .loss_scale = 1.0};
    DLF_TRY_DONE(dlf_training_new(&t, &m, &data, &training));
    DLF_TRY_DONE(steps_take(t, device, dlf_training_epoch_steps(t), &seconds));
    DLF_TRY_DONE(steps_take(t, device, steps, &seconds));
    DLF_TRY_DONE(dlf_training_loss(t, loss));
    printf("{\"us_per_member_step\": %.4f, \"members\": %d, \"depth\": %d, \"width\": %d, "
           "\"batch\": %d, \"steps\": %d, \"activation\": \"%s\", \"loss\": %.6f, "
           "\"device\": \"%s\", \"detail\": \"%s\", \"threads\": %d}\n",
           1e6 * seconds / steps / spec.members, spec.members, spec.depth, spec.width, spec.batch,
           steps, dlf_activation_name(spec.activation.kind), loss[0], device->info.name,
           device->info.detail, device->info.threads);
done:
    dlf_training_free(t);
    dlf_mlp_free(&m);
    dlf_dataset_free(&data);
    dlf_device_close(device);
    free(loss);
    free(values);
    free(draw);
    return status;
}

static int number(int argc, char **argv, int i, int fallback)
{
    return argc > i ? atoi(argv[i]) : fallback;
}

int main(int argc, char **argv)
{
    dlf_mlp_spec spec = {.members = number(argc, argv, 2, 16),
                         .batch = number(argc, argv, 5, 64),
                         .inputs = 64,
                         .width = number(argc, argv, 4, 64),
                         .depth = number(argc, argv, 3, 8),
                         .classes = 10};
    dlf_status status = dlf_activation_find(&spec.activation, argc > 7 ? argv[7] : "sigmoid");
    if (status == DLF_OK)
        status = measure(argc > 1 ? argv[1] : "cpu", spec, number(argc, argv, 6, 200));
    if (status != DLF_OK) fprintf(stderr, "bench_train_mlp: %s\n", dlf_error_message());
    return dlf_status_exit_code(status);
}
