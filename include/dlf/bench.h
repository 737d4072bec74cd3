/* SPDX-License-Identifier: MIT
 * bench.h -- timing kernels: what is measured, how it is summarised, how two measurements are
 * compared. How to read the numbers: docs/benchmarking.md.
 *
 * A case is an op with its direction, storage type, layout, shape and version. Per case a run
 *
 *   prepares    the same random operands for everyone
 *   gates       poisons the outputs, runs once, compares with the yardstick (device ref, double)
 *   times       rounds; in every round every runner (dlf, peers, anchors), in random order:
 *                   cold    one call, its operands evicted from the caches before
 *                   hot     calls back to back, operands where the last call left them
 *                   graph   the same calls recorded once and replayed (devices that record)
 *   gates       poisons and runs again: the same bits as before, or it says so
 *
 * The cases are gone through several times (passes), each time with operands in fresh memory: what
 * changes between passes, where a page lies or how fast the machine is, is part of every interval.
 *
 * Anchors are runners too: `copy` moves as many bytes as the case must, in the same mix of reads
 * and writes; `gemm` is a matrix product of fixed size. They say what the machine could do in that
 * very round, turn times into fractions of it, and carry a comparison across runs in which the
 * machine went at another speed. */
#ifndef DLF_BENCH_H
#define DLF_BENCH_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dlf/backend.h"
#include "dlf/result.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- statistics ----------------------------------------------------------------------------- */

/* Of n numbers; everything is NaN if one of them is, or n = 0. Quantiles interpolate between order
 * statistics (type 7 of Hyndman & Fan 1996). */
typedef struct dlf_bench_stats {
    int n;
    double min, q1, median, q3, p95, mean;
    double noise;  /* (q3 - q1) / median                                                         */
    double lo, hi; /* median -+ 1.57 (q3 - q1) / sqrt(n), about 95 % (McGill, Tukey & Larsen 1978);
                      n < 3: -+ infinity                                                         */
} dlf_bench_stats;

dlf_bench_stats dlf_bench_stats_of(const double *x, int n);

typedef struct dlf_bench_ratio {
    double value, lo, hi; /* with a 95 % interval; NaN if anything is NaN or not positive        */
} dlf_bench_ratio;

enum { DLF_BENCH_PASSES = 16 }; /* the most */

/* Samples in passes: pass k is x[end[k - 1]] .. x[end[k] - 1]. */
typedef struct dlf_bench_samples {
    const double *x;
    const int *end;
    int passes;
} dlf_bench_samples;

/* exp of the mean over passes of the median of log x in a pass. The interval is that of a random
 * effect of the pass: the variance of a pass's median from the bootstrap (v), that of passes around
 * each other (s2), tau2 = max(0, s2 - v), variance (v + tau2) / passes, Student's quantile with the
 * degrees of freedom of Satterthwaite (1946). Fewer than 3 samples: infinite. The same arguments
 * give the same interval. */
dlf_bench_ratio dlf_bench_level(dlf_bench_samples a);
/* level(a / b), round by round, of two runners of the same rounds. */
dlf_bench_ratio dlf_bench_ratio_paired(const double *a, const double *b, const int *end,
                                       int passes);
/* The same of two runs that share no rounds: level(a) / level(b). */
dlf_bench_ratio dlf_bench_ratio_of_levels(dlf_bench_samples a, dlf_bench_samples b);

/* ---- cases ---------------------------------------------------------------------------------- */

enum { DLF_BENCH_NAME = 96 };

typedef struct dlf_bench_case {
    char family[24];    /* "layer_norm", as in kernels.def                                       */
    char op[24];        /* "layer_norm", "rms_norm", "gelu", ...                                 */
    char direction[12]; /* "forward", "backward", "infer"; of a convolution "forward", and "data"
                           and "weight": its gradients */
    dlf_dtype dtype;
    dlf_layout layout; /* of images                                                              */
    int ndim;
    int64_t shape[4]; /* (n), (N,C) or (N,C,H,W), whatever the layout                            */
    int64_t groups;   /* group_norm, conv                                                        */
    int version;      /* of the kernel; 0: the family's choice                                   */
    /* convolutions; else 0 */
    int64_t outputs; /* channels of y                                                            */
    int64_t kernel, stride, pad;
    bool tf32; /* f32 whose products may be rounded to TF32                                      */
} dlf_bench_case;

/* "layer_norm forward f32 8192x768", "batch_norm backward bf16 nhwc 32x64x56x56 v2",
 * "conv data f32 nchw 8x96x28x28->96 3x3/2 pad 1 groups 96"; returns text */
char *dlf_bench_case_name(char text[DLF_BENCH_NAME], const dlf_bench_case *c);

typedef struct dlf_bench_suite {
    const char *name;
    dlf_text about;
} dlf_bench_suite;
extern const dlf_bench_suite dlf_bench_suites[]; /* ends with {NULL} */

/* What to take of a suite. NULL: everything (dtypes: f32). */
typedef struct dlf_bench_choice {
    const char *const *what; /* families, ops, "norm", "all"; NULL-terminated                    */
    const char *suite;       /* NULL: "small"                                                    */
    const char *dtypes;      /* "f32,tf32,f16,bf16"                                              */
    const char *directions;  /* "forward,backward,infer,data,weight"                             */
    const char *layouts;     /* "nchw,nhwc"                                                      */
    const char *filter;      /* POSIX extended regular expression on the name                    */
    int versions; /* every version 1..versions of a kernel as well as the family's choice; those
                     that there are not, or do not fit, are skipped with the reason              */
} dlf_bench_choice;

/* malloc'ed, in the order of the suite.
 *   errors  DLF_ERR_NOT_FOUND  unknown family, op, suite, dtype, direction, layout; nothing matches
 *           DLF_ERR_ARG        the filter is no regular expression                              */
DLF_MUST_CHECK dlf_status dlf_bench_cases(dlf_bench_case **out, int *n,
                                          const dlf_bench_choice *choice);

/* ---- a run ---------------------------------------------------------------------------------- */

typedef enum dlf_bench_mode {
    DLF_BENCH_COLD,
    DLF_BENCH_HOT,
    DLF_BENCH_GRAPH,
    DLF_BENCH_MODES
} dlf_bench_mode;
const char *dlf_bench_mode_name(dlf_bench_mode mode);

/* Known ways to get a wrong number, on purpose: how large each is on this machine (--distort). */
typedef enum dlf_bench_distortion {
    DLF_DISTORT_ZEROS = 1, /* operands are zeros: less power, perhaps a higher clock          */
    DLF_DISTORT_SEQUENTIAL = 2, /* first all rounds of one runner, then all of the next */
    DLF_DISTORT_SLOW = 4,      /* dlf's own kernels take 5 % longer: is it noticed?               */
    DLF_DISTORT_WRONG = 8,     /* one output element is changed before the gate looks             */
    DLF_DISTORT_NO_EVICT = 16, /* cold without eviction                                           */
    DLF_DISTORT_BYTES = 32     /* twice the bytes are claimed                                     */
} dlf_bench_distortion;
/* One bit per name in "zeros,slow"; DLF_ERR_NOT_FOUND names the others. */
DLF_MUST_CHECK dlf_status dlf_bench_distortions(unsigned *out, const char *names);

typedef struct dlf_bench_options {
    dlf_device *device;
    const char *peers;    /* "torch,cudnn,cublaslt,liger,quack,unfused", "best", or NULL         */
    const char *baseline; /* program of another build of dlf; NULL: none */
    const char *python;   /* interpreter of out-of-process peers; NULL: $DLF_PYTHON or python3   */
    unsigned modes;       /* 1 << mode; 0: all that the device has                               */
    int passes; /* over all cases, 1 to DLF_BENCH_PASSES; rounds and seconds are those of all  */
    bool pin;   /* every thread on a CPU of its own (cpu)                                      */
    int min_rounds, max_rounds;
    double max_noise; /* half the interval of a median, relative: then the case is done      */
    double seconds;   /* of timing per case, at the most                                     */
    double hot_ns;    /* how long a hot sample is, about; 0: 0.2 ms                          */
    uint64_t seed;
    unsigned distort;
    bool gate;
    bool ceilings; /* measure some at the sizes of the cases, before them                      */
    volatile const int *cancel;
    void (*progress)(void *user, double fraction, const char *text);
    void (*warn)(void *user, const char *text); /* one line: a peer that is not here, or is wrong */
    void *user;
} dlf_bench_options;

typedef enum dlf_bench_stop {
    DLF_STOP_NOISE,
    DLF_STOP_ROUNDS,
    DLF_STOP_TIME,
    DLF_STOP_SEQUENTIAL
} dlf_bench_stop;
const char *dlf_bench_stop_name(dlf_bench_stop stop);

typedef struct dlf_bench_check {
    bool done;
    double error; /* max |got - want| / (|want| + rms want) over all outputs                     */
    double tolerance;
    bool ok;        /* error <= tolerance, before the timing and after it                        */
    bool same_bits; /* before and after                                                          */
} dlf_bench_check;

typedef struct dlf_bench_runner_result {
    char name[16];               /* "dlf", "copy", "gemm", "torch", "cudnn", ...              */
    char note[160];              /* the peer's plan; or why there are no samples              */
    double *ns[DLF_BENCH_MODES]; /* per round; NULL: not measured                             */
    double launches; /* of a call: kernels, fills, copies (cuda), parallel regions (cpu); -1: not
                        known                                                                 */
    double host_ns;  /* the least that a hot call kept the host: queueing it (cuda), all of it
                        (cpu); NaN: not known                                                 */
    dlf_bench_check check;
} dlf_bench_runner_result;

enum { DLF_BENCH_RUNNERS = 12 };
/* Runners of --baseline: two processes that are treated alike, another build of dlf and this one.
 */
#define DLF_BENCH_BEFORE "before"
#define DLF_BENCH_NOW    "now"

/* NaN: not known. */
typedef struct dlf_bench_telemetry {
    double sm_mhz, power_w, temperature_c;
    int throttled; /* NVML's reasons, seen at any time of the case; -1: not known                */
} dlf_bench_telemetry;

typedef struct dlf_bench_row {
    dlf_bench_case c;
    double bytes;       /* ideal: every operand once                                             */
    double read_share;  /* of bytes; NaN: not known                                             */
    double bytes_moved; /* what the algorithm moves if nothing stays in a cache                  */
    double copy_bytes;  /* what the anchor `copy` moved                                          */
    double flops;
    int rounds;
    int passes;                     /* that it took part in                                      */
    int pass_end[DLF_BENCH_PASSES]; /* rounds until then                                         */
    dlf_bench_stop stop;
    double seconds;
    dlf_bench_telemetry telemetry;
    int n_runners;
    dlf_bench_runner_result runner[DLF_BENCH_RUNNERS]; /* [0] is dlf, [1] copy, [2] gemm         */
    char skipped[200];                                 /* "" or why there is nothing             */
} dlf_bench_row;

typedef struct dlf_bench_report {
    char *manifest; /* JSON object                                                               */
    double spec_gb_per_s; /* of the device's memory: clock x bus width; 0: not known             */
    dlf_bench_row *rows;
    int n;
    dlf_bench_row *ceilings; /* measured before the rows, cold only                            */
    int n_ceilings;
    bool complete;
} dlf_bench_report;

/* Time `cases`. *out is usable also on DLF_ERR_CANCELLED (what was finished) and DLF_ERR_SELF_CHECK
 * (a gate failed; the message names the first). NULL on every other error. */
DLF_MUST_CHECK dlf_status dlf_bench_run(dlf_bench_report **out, const dlf_bench_case *cases, int n,
                                        const dlf_bench_options *options, const char *command);
void dlf_bench_report_free(dlf_bench_report *r);

/* `calls` calls of every case, operands on the device and the kernels loaded before: between
 * cudaProfilerStart and cudaProfilerStop (cuda), so that `ncu --profile-from-start off` sees these
 * alone. Nothing is timed or checked; a line per case on stdout.
 *   errors  those of the ops: a shape, a type or a version that there is not */
DLF_MUST_CHECK dlf_status dlf_bench_profile(dlf_device *device, const dlf_bench_case *cases, int n,
                                            int calls);

/* Be "now" or "before" of another dlf (--baseline): JSON lines until `in` ends. */
DLF_MUST_CHECK dlf_status dlf_bench_serve(FILE *in, FILE *out);

/* ---- what a row says ------------------------------------------------------------------------ */

typedef enum dlf_bench_flag {
    DLF_FLAG_WRONG = 1,   /* the gate failed                                                    */
    DLF_FLAG_BITS = 2,    /* two runs, different bits                                           */
    DLF_FLAG_SUSPECT = 4, /* faster than the copy of the same bytes by more than the intervals
                             allow: bytes counted wrong, or operands still in a cache           */
    DLF_FLAG_NOISY = 8,   /* ended by time or rounds, wider than asked for                      */
    DLF_FLAG_THROTTLED = 16,
    DLF_FLAG_PEER_WRONG = 32 /* a peer failed the gate: it was not timed                        */
} dlf_bench_flag;

typedef struct dlf_bench_summary {
    dlf_bench_mode mode;
    dlf_bench_stats time; /* ns; lo and hi are those of the level, see dlf_bench_level  */
    double gb_per_s, gflop_per_s;
    dlf_bench_ratio of_copy; /* copy's time / this time, by rounds: share of the ceiling   */
    dlf_bench_ratio peer;    /* peer's time / this time: > 1 faster than the peer          */
    const char *peer_name;   /* the fastest of the peers, NULL: none                       */
    dlf_bench_ratio before;  /* time of "now" / time of "before"; NaN without --baseline   */
    unsigned flags;
} dlf_bench_summary;

/* Of the first mode of `mode, cold, hot` that was measured; false: nothing was. */
bool dlf_bench_summarise(dlf_bench_summary *out, const dlf_bench_row *row, int runner,
                         dlf_bench_mode mode, double max_noise);

/* How far below what the run's ceilings allow: of copy, add, read and write the one whose mix of
 * reads and writes is nearest, at the row's size (between two sizes linear in its logarithm); of a
 * convolution also the square product, `fma` or `tensor`, of as many operations. They were measured
 * some time before the row, so that this, other than of_copy, has no interval and makes no row
 * SUSPECT. */
typedef struct dlf_bench_roof {
    double gb_per_s, gflop_per_s; /* what they allow; NaN: not measured                        */
    double share;                 /* of the time that they allow in the row's cold time; NaN    */
    bool compute_bound;           /* the products would take longer than the bytes              */
} dlf_bench_roof;
dlf_bench_roof dlf_bench_roof_of(const dlf_bench_report *r, const dlf_bench_row *row);

/* ---- stored and shown ----------------------------------------------------------------------- */

/* {"schema":"dlf.bench/1", ...}: docs/benchmarking.md. malloc'ed text. */
DLF_MUST_CHECK dlf_status dlf_bench_to_json(char **out, const dlf_bench_report *r);
/*   errors  DLF_ERR_INPUT with path and what is wrong                                           */
DLF_MUST_CHECK dlf_status dlf_bench_load(dlf_bench_report **out, const char *path);
typedef enum dlf_bench_format {
    DLF_BENCH_TABLE,
    DLF_BENCH_CSV,
    DLF_BENCH_MARKDOWN
} dlf_bench_format;
DLF_MUST_CHECK dlf_status dlf_bench_print(FILE *out, const dlf_bench_report *r,
                                          dlf_bench_format format, bool utf8);

/* Markdown, a line per op and direction: how many cases, peer's time / dlf's time in hot mode
 * (median and least of the cases), share of the copy in cold mode (median); then how many rows keep
 * up with the peer, and those that do not. */
DLF_MUST_CHECK dlf_status dlf_bench_print_ops(FILE *out, const dlf_bench_report *r);
/* Markdown, a line per case and a column per peer: dlf's time, its rate, and the peer's time /
 * dlf's with its 95 % interval, round by round in hot mode; then per peer how many rows keep up,
 * and with their whole interval. */
DLF_MUST_CHECK dlf_status dlf_bench_print_peers(FILE *out, const dlf_bench_report *r);
/* Markdown for bench/results/VERIFIED.md: device, commit and time of the run; a line per op: how
 * many cases, how many right and how near the tolerance, share of the copy, times as fast as the
 * fastest peer. */
DLF_MUST_CHECK dlf_status dlf_bench_print_ledger(FILE *out, const dlf_bench_report *r);
/* The rows of `other`, which is left without any, after those of `into` or in the place of rows of
 * the same name. The manifest becomes that of `into` with both in "parts".
 *   errors  DLF_ERR_INPUT  another device or another number of threads                          */
DLF_MUST_CHECK dlf_status dlf_bench_join(dlf_bench_report *into, dlf_bench_report *other);

/* Tables `times` and `peers`, figures `roofline`, `of_copy` and `peers`, for dlf_plot. */
DLF_MUST_CHECK dlf_status dlf_bench_to_result(dlf_result **out, const dlf_bench_report *r);

/* ---- two runs ------------------------------------------------------------------------------- */

typedef enum dlf_bench_verdict {
    DLF_SAME,
    DLF_FASTER,
    DLF_SLOWER,
    DLF_AMBIGUOUS
} dlf_bench_verdict;
const char *dlf_bench_verdict_name(dlf_bench_verdict v);

typedef struct dlf_bench_comparison {
    char name[DLF_BENCH_NAME];
    dlf_bench_mode mode;
    dlf_bench_ratio time;     /* B / A                                                           */
    dlf_bench_ratio anchored; /* (B / B's anchor) / (A / A's anchor)                             */
    const char *anchor;       /* "copy" or "gemm": the one that follows this case more closely   */
    dlf_bench_verdict verdict;
    const char *why;
} dlf_bench_comparison;

/* Rows of dlf that both have, in A's order. Both ratios with intervals of passes (see
 * dlf_bench_ratio_of_levels), widened by what the anchors, the same code in both, scatter from run
 * to run (5 rows or more). FASTER and SLOWER need both ratios to lie beyond
 * 1 -+ `least` with their whole intervals; SAME needs both intervals to hold 1, or to lie within
 * 1 -+ least; all else is AMBIGUOUS, with the reason. malloc'ed. */
DLF_MUST_CHECK dlf_status dlf_bench_compare(dlf_bench_comparison **out, int *n,
                                            const dlf_bench_report *a, const dlf_bench_report *b,
                                            double least);

/* One run with --baseline: time of "now" / time of "before", paired by rounds, judged by that one
 * interval. The sharpest comparison there is: whatever the machine does happens to both. */
DLF_MUST_CHECK dlf_status dlf_bench_compare_before(dlf_bench_comparison **out, int *n,
                                                   const dlf_bench_report *r, double least);

#ifdef __cplusplus
}
#endif
#endif
