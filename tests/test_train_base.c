/* SPDX-License-Identifier: MIT
 * test_train_base.c -- members that see data of their own: the same bits as alone on that data. */
#include "kernel_test.h"

#include "dlf/train.h"

enum { BLOCK = 40, TRAIN = 24, BATCH = 8, FEATURES = 3, STEPS = 7 };

/* `blocks` copies of one regression with different targets, from block `first` on. */
static dlf_dataset blocks_of(int first, int blocks)
{
    const int rows = blocks * BLOCK;
    dlf_dataset d = {.name = "blocks", .train = rows, .features = FEATURES, .targets = 1};
    d.x = malloc((size_t)rows * FEATURES * sizeof *d.x);
    d.target = malloc((size_t)rows * sizeof *d.target);
    assert_true(d.x && d.target);
    for (int i = 0; i < rows; i++) {
        const int block = first + i / BLOCK, row = i % BLOCK;
        for (int k = 0; k < FEATURES; k++)
            d.x[i * FEATURES + k] = dlf_rng_normal(3, 0, 0, (uint64_t)(row * FEATURES + k));
        d.target[i] = dlf_rng_normal(3, 1, (uint32_t)block, (uint64_t)row);
    }
    return d;
}

typedef struct job {
    dlf_dataset data;
    dlf_graph *g;
    dlf_train *t;
} job;

static void start(job *j, int members, int first, int blocks, const int32_t *draw,
                  const int32_t *base)
{
    j->data = blocks_of(first, blocks);
    OK(dlf_graph_new(&j->g, kt_dev, members));
    const dlf_node x = dlf_input(j->g, "x", 3, (int64_t[]){members, BATCH, FEATURES});
    const dlf_node y = dlf_input(j->g, "target", 3, (int64_t[]){members, BATCH, 1});
    const dlf_node f = dlf_dense(j->g, "f", x, 1, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    dlf_graph_minimise(j->g, dlf_row_loss(j->g, "loss", f, y, (dlf_loss){.kind = DLF_LOSS_MSE}),
                       1.0 / BATCH);
    OK(dlf_graph_compile(j->g));
    OK(dlf_graph_initialise(j->g, 5, draw));
    const double lr[] = {0.1, 0.1, 0.1};
    const dlf_train_spec spec = {.seed = 5,
                                 .draw = draw,
                                 .base = base,
                                 .lr = lr,
                                 .optimiser = dlf_sgd(0.5, 0),
                                 .rows = TRAIN};
    OK(dlf_train_new(&j->t, j->g, &j->data, &spec));
}

static void end(job *j)
{
    dlf_train_free(j->t);
    dlf_graph_free(j->g);
    dlf_dataset_free(&j->data);
}

static void each_member_has_its_data(void **state)
{
    const int32_t draw[] = {2, 0, 2}, base[] = {2 * BLOCK, 0, BLOCK};
    double together[3], alone, seen[3], mine;
    job all;
    start(&all, 3, 0, 3, draw, base);
    OK(dlf_train_run(all.t, STEPS));
    OK(dlf_train_evaluate(all.t, TRAIN, BLOCK - TRAIN, together, NULL));
    OK(dlf_train_loss(all.t, seen));
    for (int p = 0; p < 3; p++) {
        job one;
        start(&one, 1, base[p] / BLOCK, 1, draw + p, NULL);
        OK(dlf_train_run(one.t, STEPS));
        OK(dlf_train_evaluate(one.t, TRAIN, BLOCK - TRAIN, &alone, NULL));
        OK(dlf_train_loss(one.t, &mine));
        assert_true(seen[p] == mine);
        assert_true(together[p] == alone);
        end(&one);
    }
    assert_true(together[0] != together[2]); /* same draw, other targets */
    end(&all);
}

static void rows_beyond_the_data_are_refused(void **state)
{
    const int32_t base[] = {0, BLOCK};
    job j;
    start(&j, 2, 0, 2, NULL, base);
    double loss[2];
    OK(dlf_train_evaluate(j.t, 0, BLOCK, loss, NULL));
    assert_int_equal(dlf_train_evaluate(j.t, 1, BLOCK, loss, NULL), DLF_ERR_ARG);
    const double lr[] = {0.1, 0.1};
    const int32_t beyond[] = {0, 2 * BLOCK - TRAIN + 1}, negative[] = {0, -1};
    dlf_train *t;
    dlf_train_spec spec = {.lr = lr, .rows = TRAIN, .base = beyond};
    assert_int_equal(dlf_train_new(&t, j.g, &j.data, &spec), DLF_ERR_SHAPE);
    spec.base = negative;
    assert_int_equal(dlf_train_new(&t, j.g, &j.data, &spec), DLF_ERR_ARG);
    end(&j);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_member_has_its_data),
        cmocka_unit_test(rows_beyond_the_data_are_refused),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
