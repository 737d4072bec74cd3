/* SPDX-License-Identifier: MIT
 * test_cudnn_graph.c -- the graphs that bench/peer_cudnn_graph.c describes, before the real cuDNN:
 * it checks and finishes descriptors without a GPU, and its heuristics name engines for the
 * properties of one that is described to them. Skipped where the library is not installed, and
 * under a sanitizer, which would report on the library. */
#include "kernel_test.h"

#include <dlfcn.h>

#include "backend/cuda_library.h"
#include "bench/peer_cudnn.h"

static peer_cudnn cudnn;
static void *h200; /* NULL: this version wants another description */

/* Data sheet and CUDA's device query of an H200, under the names that cuDNN 9.19 reads. */
static const char properties[] =
    "{\"deviceName\":\"NVIDIA H200\",\"deviceVer\":900,\"smVersion\":900,\"driverVer\":13000,"
    "\"cudaDeviceId\":0,\"pciDeviceId\":9019,\"multiProcessorCount\":132,\"warpSize\":32,"
    "\"smClockRateKHz\":1980000,\"memClockRateKHz\":3201000,\"l2CacheSize\":62914560,"
    "\"totalGlobalMem\":150000000000,\"maxGridSize\":[2147483647,65535,65535],"
    "\"maxBlockSize\":[1024,1024,64],\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,"
    "\"maxCtasPerSM\":32,\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536,"
    "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,"
    "\"reservedSharedMemoryPerBlock\":1024,\"isTccDriver\":0,\"supportCoopLaunch\":1}";

static int (*create)(int, void **), (*destroy)(void *), (*finalize)(void *);
static int (*set)(void *, int, int, int64_t, const void *);
static int (*get)(void *, int, int, int64_t, int64_t *, void *);

enum { HEURISTICS = 4, DEVICE = 38, HEURISTIC_A = 3 };

static void describe_h200(void)
{
    const dlf_cuda_wanted wanted[] = {{&create, "cudnnBackendCreateDescriptor"},
                                      {&destroy, "cudnnBackendDestroyDescriptor"},
                                      {&finalize, "cudnnBackendFinalize"},
                                      {&set, "cudnnBackendSetAttribute"},
                                      {&get, "cudnnBackendGetAttribute"}};
    if (!dlf_cuda_symbols(cudnn.lib.library, wanted, sizeof wanted / sizeof *wanted) ||
        create(DEVICE, &h200) != 0)
        return;
    if (set(h200, 2702, 24, sizeof properties, properties) == 0 && finalize(h200) == 0) return;
    destroy(h200);
    h200 = NULL;
}

/* How many engines cuDNN's heuristics list; -1: they do not take the graph. */
static int64_t engines(void *operations)
{
    void *h = NULL;
    const int mode = HEURISTIC_A;
    int64_t n = -1;
    assert_int_equal(create(HEURISTICS, &h), 0);
    if (set(h, 201, 15, 1, &operations) != 0 || set(h, 200, 8, 1, &mode) != 0 ||
        set(h, 204, 15, 1, &h200) != 0 || finalize(h) != 0 || get(h, 202, 15, 0, &n, NULL) != 0)
        n = -1;
    destroy(h);
    return n;
}

static void case_is_accepted(const dlf_bench_case *c)
{
    char name[DLF_BENCH_NAME];
    bench_subject s;
    cudnn_graph *g = NULL;
    OK(bench_subject_new(&s, kt_dev, c, false));
    if (cudnn_graph_new(&g, &cudnn, &s) != DLF_OK)
        fail_msg("%s: %s", dlf_bench_case_name(name, c), dlf_error_message());
    if (h200 && engines(cudnn_graph_operations(g)) < 1)
        fail_msg("%s: no engine", dlf_bench_case_name(name, c));
    cudnn_graph_free(g);
    bench_subject_free(&s);
}

static void graphs_are_accepted(void **state)
{
    (void)state;
    dlf_bench_case *cases = NULL;
    int n = 0;
    OK(dlf_bench_cases(&cases, &n,
                       &(dlf_bench_choice){.filter = "^(layer|rms|instance|batch)_norm (for|back)",
                                           .dtypes = "f32,f16,bf16"}));
    assert_int_equal(n, 3 * 2 * (6 + 5 + 4));
    for (int i = 0; i < n; i++) case_is_accepted(&cases[i]);
    free(cases);
}

/* The check above can fail; and there is no engine for group norm. */
static void a_wrong_graph_is_refused(void **state)
{
    (void)state;
    const dlf_bench_case c = {.family = "group_norm",
                              .op = "instance_norm",
                              .direction = "forward",
                              .ndim = 4,
                              .shape = {2, 8, 4, 4},
                              .groups = 1};
    bench_subject s;
    cudnn_graph *g = NULL;
    OK(bench_subject_new(&s, kt_dev, &c, false));
    s.c.shape[3] = -4;
    assert_int_equal(cudnn_graph_new(&g, &cudnn, &s), DLF_ERR_NO_KERNEL);
    assert_null(g);
    s.c.shape[3] = 4;
    s.norm.kind = DLF_GROUP_NORM;
    assert_int_equal(cudnn_graph_new(&g, &cudnn, &s), DLF_ERR_NO_KERNEL);
    bench_subject_free(&s);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"libcudnn.so.9", "libcudnn.so", NULL};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf("skipped: a sanitizer watches\n");
    return 77;
#endif
    cudnn.lib.library = dlf_cuda_library("DLF_CUDNN", names);
    if (!cudnn.lib.library) {
        printf("skipped: there is no cuDNN\n");
        return 77;
    }
    kt_open(argc, argv);
    cudnn.device = kt_dev;
    const struct CMUnitTest tests[] = {cmocka_unit_test(graphs_are_accepted),
                                       cmocka_unit_test(a_wrong_graph_is_refused)};
    describe_h200();
    if (!h200)
        printf("this cuDNN does not take the description of a GPU: engines are not looked for\n");
    const int failed = cmocka_run_group_tests_name("graphs of cuDNN", tests, NULL, NULL);
    if (h200) destroy(h200);
    return kt_close(failed);
}
