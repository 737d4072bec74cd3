/* SPDX-License-Identifier: MIT
 * test_team.c -- the threads behind `#pragma omp parallel` (host/backend/cpu_team.c): every
 * iteration runs exactly once, whatever the number of threads, also from several host threads and
 * nested. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dlf/backend.h"

enum { N = 1000 };

/* The library must be linked, or this would test libgomp. */
static void static_loops_run_everything_once(void **state)
{
    for (int threads = 1; threads <= 9; threads++) {
        int seen[N] = {0};
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int i = 0; i < N; i++) seen[i]++;
        for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
    }
}

static void dynamic_loops_run_everything_once(void **state)
{
    for (int threads = 1; threads <= 5; threads++)
        for (int chunk = 1; chunk < 12; chunk += 5)
            for (int n = 0; n < 40; n += 3) {
                int seen[40] = {0};
#pragma omp parallel num_threads(threads) if (threads > 1)
                {
                    int *mine = malloc(sizeof *mine); /* per part, as gemm does */
#pragma omp for schedule(dynamic, chunk) nowait
                    for (long i = 0; i < n; i++) {
                        *mine = 1;
                        seen[i] += *mine;
                    }
                    free(mine);
                }
                for (int i = 0; i < 40; i++) assert_int_equal(seen[i], i < n);
            }
}

static void reductions_and_atomics(void **state)
{
    for (int round = 0; round < 50; round++) {
        long sum = 0, hits = 0;
        double greatest = -1.0;
#pragma omp parallel for num_threads(3) schedule(static) reduction(+ : sum) reduction(max : greatest)
        for (int i = 0; i < N; i++) {
            sum += i;
            greatest = i > greatest ? i : greatest;
#pragma omp atomic
            hits++;
        }
        assert_int_equal(sum, N * (N - 1) / 2);
        assert_int_equal(hits, N);
        assert_true(greatest == N - 1);
    }
}

static void nested_regions_run_where_they_are(void **state)
{
    int count[8] = {0};
#pragma omp parallel for num_threads(2) schedule(static)
    for (int i = 0; i < 8; i++) {
        int inner = 0;
#pragma omp parallel for num_threads(4) schedule(static) reduction(+ : inner)
        for (int j = 0; j < 10; j++) inner++;
        count[i] = inner;
    }
    for (int i = 0; i < 8; i++) assert_int_equal(count[i], 10);
}

static void *many_regions(void *out)
{
    long *total = out;
    for (int round = 0; round < 3000; round++) {
        long part[16] = {0};
#pragma omp parallel for num_threads(4) schedule(static)
        for (int i = 0; i < 16; i++) part[i] = i + round;
        for (int i = 0; i < 16; i++) *total += part[i];
    }
    return NULL;
}

static void host_threads_at_the_same_time(void **state)
{
    long total[4] = {0}, expected = 0;
    pthread_t thread[4];
    for (int round = 0; round < 3000; round++) expected += 120 + 16L * round;
    for (int t = 0; t < 4; t++)
        assert_int_equal(pthread_create(&thread[t], NULL, many_regions, &total[t]), 0);
    for (int t = 0; t < 4; t++) pthread_join(thread[t], NULL);
    for (int t = 0; t < 4; t++) assert_int_equal(total[t], expected);
}

int main(void)
{
    dlf_device *cpu; /* pulls the library in, as a program does */
    if (dlf_device_open(&cpu, "cpu") != DLF_OK) return 1;
    dlf_device_close(cpu);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_loops_run_everything_once),
        cmocka_unit_test(dynamic_loops_run_everything_once),
        cmocka_unit_test(reductions_and_atomics),
        cmocka_unit_test(nested_regions_run_where_they_are),
        cmocka_unit_test(host_threads_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
