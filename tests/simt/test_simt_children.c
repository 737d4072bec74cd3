/* SPDX-License-Identifier: MIT */
/* Planted faults, each in a child process: what the build at hand has to see, it has to see. */
#include "test_simt.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PLAIN = 1, ASAN = 2, TSAN = 4, ANY = PLAIN | ASAN | TSAN };
#if defined(__SANITIZE_ADDRESS__)
enum { THIS_BUILD = ASAN, SEEDS = 3 };
#elif defined(__SANITIZE_THREAD__)
/* What the race detector finds does not depend on the order, and it is slow. */
enum { THIS_BUILD = TSAN, SEEDS = 1 };
#else
enum { THIS_BUILD = PLAIN, SEEDS = 3 };
#endif

enum { TEXT_MAX = 1 << 18 };

struct outcome {
    int status;
    char text[TEXT_MAX]; /* stdout and stderr */
};

/* Runs this program again as `test_simt fault <name>`. */
static void run_child(struct outcome *o, const char *fault, unsigned seed, const char *inject)
{
    int pipe_ends[2];
    char seed_text[16], tsan_options[1024];
    size_t n = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    snprintf(seed_text, sizeof seed_text, "%u", seed);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipe_ends[1], STDOUT_FILENO);
        dup2(pipe_ends[1], STDERR_FILENO);
        close(pipe_ends[0]);
        setenv("SIMT_SEED", seed_text, 1);
        /* The race detector otherwise sleeps for a second at exit. */
        const char *options = getenv("TSAN_OPTIONS");
        snprintf(tsan_options, sizeof tsan_options, "%s:atexit_sleep_ms=0", options ? options : "");
        setenv("TSAN_OPTIONS", tsan_options, 1);
        if (inject)
            setenv("SIMT_INJECT", inject, 1);
        else
            unsetenv("SIMT_INJECT");
        execl("/proc/self/exe", "test_simt", "fault", fault, (char *)NULL);
        _exit(127);
    }
    close(pipe_ends[1]);
    for (;;) {
        char rest[4096];
        const size_t room = TEXT_MAX - 1 - n;
        const ssize_t got = room ? read(pipe_ends[0], o->text + n, room)
                                 : read(pipe_ends[0], rest, sizeof rest); /* drain */
        if (got <= 0) break;
        if (room) n += (size_t)got;
    }
    o->text[n] = 0;
    close(pipe_ends[0]);
    assert_int_equal(waitpid(pid, &o->status, 0), pid);
}

static int succeeded(const struct outcome *o)
{
    return WIFEXITED(o->status) && WEXITSTATUS(o->status) == 0;
}

static int aborted(const struct outcome *o)
{
    return WIFSIGNALED(o->status) && WTERMSIG(o->status) == SIGABRT;
}

static int read_result(const struct outcome *o, int *nans, double *checksum)
{
    const char *line = strstr(o->text, "finished: ");
    return line && sscanf(line, "finished: %d NaN, checksum %lf", nans, checksum) == 2;
}

/* Two different lines of the file with the faults. */
static int names_two_sites(const struct outcome *o)
{
    static const char file[] = "test_simt_faults.cu:";
    const char *first = strstr(o->text, file);
    const char *second = first ? strstr(first + 1, file) : NULL;
    return second && atoi(first + strlen(file)) != atoi(second + strlen(file));
}

/* ---- ways to be caught ---- */

static int is_clean(const struct outcome o[SEEDS], const char *text)
{
    double first = 0.0;
    (void)text;
    for (int seed = 0; seed < SEEDS; seed++) {
        int nans;
        double checksum;
        if (!succeeded(&o[seed]) || !read_result(&o[seed], &nans, &checksum) || nans) return 0;
        if (seed == 0) first = checksum;
        if (checksum != first) return 0;
    }
    return 1;
}

/* NaN in the result with every seed. */
static int gives_nan(const struct outcome o[SEEDS], const char *text)
{
    (void)text;
    for (int seed = 0; seed < SEEDS; seed++) {
        int nans;
        double checksum;
        if (!read_result(&o[seed], &nans, &checksum) || nans == 0) return 0;
    }
    return 1;
}

/* No two seeds with the same result. */
static int depends_on_seed(const struct outcome o[SEEDS], const char *text)
{
    double sums[SEEDS];
    (void)text;
    for (int seed = 0; seed < SEEDS; seed++) {
        int nans;
        if (!read_result(&o[seed], &nans, &sums[seed])) return 0;
        for (int before = 0; before < seed; before++)
            if (sums[before] == sums[seed]) return 0;
    }
    return 1;
}

static int aborts_with(const struct outcome o[SEEDS], const char *text)
{
    for (int seed = 0; seed < SEEDS; seed++)
        if (!aborted(&o[seed]) || !strstr(o[seed].text, text)) return 0;
    return 1;
}

static int aborts_with_two_sites(const struct outcome o[SEEDS], const char *text)
{
    for (int seed = 0; seed < SEEDS; seed++)
        if (!names_two_sites(&o[seed])) return 0;
    return aborts_with(o, text);
}

/* A sanitizer said so and failed the process. */
static int is_reported(const struct outcome o[SEEDS], const char *text)
{
    for (int seed = 0; seed < SEEDS; seed++)
        if (succeeded(&o[seed]) || !strstr(o[seed].text, text)) return 0;
    return 1;
}

static int prints(const struct outcome o[SEEDS], const char *text)
{
    for (int seed = 0; seed < SEEDS; seed++)
        if (!succeeded(&o[seed]) || !strstr(o[seed].text, text)) return 0;
    return 1;
}

static const struct expectation {
    const char *fault;
    int builds;
    int (*caught)(const struct outcome o[SEEDS], const char *text);
    const char *text;
} expectations[] = {
    {"no_fault", ANY, is_clean, ""},
    {"missing_barrier", PLAIN | ASAN, gives_nan, ""},
    {"missing_barrier", PLAIN | ASAN, depends_on_seed, ""},
    {"missing_barrier", TSAN, is_reported, "data race"},
    {"missing_second_barrier", PLAIN | ASAN, depends_on_seed, ""},
    {"missing_second_barrier", TSAN, is_reported, "data race"},
    {"missing_syncwarp", TSAN, is_reported, "data race"},
    {"plain_accumulation", TSAN, is_reported, "data race"},
    {"plain_accumulation_of_blocks", TSAN, is_reported, "data race"},
    {"order_of_blocks", PLAIN | ASAN, depends_on_seed, ""},
    {"order_of_blocks", TSAN, is_reported, "data race"},
    {"blocks_with_barriers", TSAN, is_reported, "data race"},
    {"missing_fence", TSAN, is_reported, "data race"},
    {"missing_async_wait", ANY, gives_nan, ""},
    {"wait_for_wrong_group", ANY, gives_nan, ""},
    {"missing_async_commit", ANY, gives_nan, ""},
    {"uninitialised_shared", ANY, gives_nan, ""},
    {"global_write_past_end", PLAIN | TSAN, aborts_with, "wrote outside an allocation"},
    {"global_write_past_end", ASAN, is_reported, "heap-buffer-overflow"},
    {"global_read_past_end", PLAIN | TSAN, gives_nan, ""},
    {"global_read_past_end", ASAN, is_reported, "heap-buffer-overflow"},
    {"shared_write_past_end", PLAIN, aborts_with, "past the end of shared array 's'"},
    {"shared_write_past_end", ASAN, is_reported, "use-after-poison"},
    {"shared_read_before_start", PLAIN | TSAN, gives_nan, ""},
    {"shared_read_before_start", ASAN, is_reported, "use-after-poison"},
    {"dynamic_write_past_end", PLAIN, aborts_with, "past the end of shared array '(dynamic)'"},
    {"dynamic_write_past_end", ASAN, is_reported, "use-after-poison"},
    {"misaligned_async", ANY, aborts_with, "not aligned to 16 bytes"},
    {"misaligned_vector", ANY, aborts_with, "access of 16 bytes at"},
    {"divergent_barrier", ANY, aborts_with_two_sites, "divergent __syncthreads"},
    {"absent_lane", ANY, aborts_with_two_sites, "deadlock"},
    {"lane_not_in_mask", ANY, aborts_with, "is not in mask 0000ffff"},
    {"different_operations", ANY, aborts_with_two_sites, "__ballot_sync"},
    {"lane_that_left", ANY, gives_nan, ""},
    {"active_mask", ANY, aborts_with, "__activemask() is not modelled"},
    {"trap", ANY, aborts_with, "__trap()"},
    {"static_shared_overuse", ANY, aborts_with, "brings static shared memory to 65536 bytes"},
    {"total_shared_overuse", ANY, aborts_with, "32768 static + 204800 dynamic bytes"},
    {"host_reads_device_memory", ASAN, is_reported, "use-after-poison"},
    {"kernel_uses_freed_memory", ASAN | TSAN, is_reported, "heap-use-after-free"},
    {"leak", ANY, prints, "leaks: 1"},
    {"three_allocations", ANY, prints, "cudaSuccess\ncudaSuccess\ncudaSuccess\n"},
};
enum { N_EXPECTATIONS = sizeof expectations / sizeof expectations[0] };

void faults_are_caught(void **state)
{
    struct outcome *o = malloc(SEEDS * sizeof *o);
    const char *last = "";
    int checked = 0, missed = 0;
    (void)state;
    assert_non_null(o);
    for (int i = 0; i < N_EXPECTATIONS; i++) {
        const struct expectation *e = &expectations[i];
        if (!(e->builds & THIS_BUILD)) continue;
        if (strcmp(last, e->fault) != 0)
            for (unsigned seed = 0; seed < SEEDS; seed++) run_child(&o[seed], e->fault, seed, NULL);
        last = e->fault;
        checked++;
        if (e->caught(o, e->text)) continue;
        missed++;
        for (int seed = 0; seed < SEEDS; seed++)
            print_error("%s, seed %d, wait status %#x, expected \"%s\":\n%.2000s\n", e->fault, seed,
                        (unsigned)o[seed].status, e->text, o[seed].text);
    }
    free(o);
    assert_true(checked > 0);
    assert_int_equal(missed, 0);
}

void faults_all_have_an_expectation(void **state)
{
    (void)state;
    for (size_t i = 0; test_fault_name(i); i++) {
        int found = 0;
        for (int k = 0; k < N_EXPECTATIONS; k++)
            found |= !strcmp(expectations[k].fault, test_fault_name(i));
        if (!found) fail_msg("no build is expected to catch %s", test_fault_name(i));
    }
}

void injection_from_environment(void **state)
{
    struct outcome *o = malloc(sizeof *o);
    (void)state;
    assert_non_null(o);
    /* The second of the three allocations is the third of the process. */
    run_child(o, "three_allocations", 0, "cudaMalloc:3:2");
    assert_true(succeeded(o));
    assert_string_equal(o->text, "cudaSuccess\ncudaErrorMemoryAllocation\ncudaSuccess\n");
    run_child(o, "three_allocations", 0, "cudaGetDevice:1:3,cudaMalloc:3:719:1");
    assert_true(succeeded(o));
    assert_string_equal(o->text, "cudaSuccess\ncudaErrorLaunchFailure\ncudaErrorLaunchFailure\n");
    free(o);
}
