/* SPDX-License-Identifier: MIT
 * data.h -- data sets in host memory, ready for upload: loaded from files, or generated.
 *
 * Files are treated as hostile: whatever is in them, a loader gives rows or DLF_ERR_INPUT with one
 * sentence that names the file and the offset or row. Nothing is allocated on the word of a header
 * that the size of the file contradicts. */
#ifndef DLF_DATA_H
#define DLF_DATA_H
#include <stddef.h>
#include <stdint.h>

#include "dlf/status.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Rows 0..train-1 are the training set, rows train..train+test-1 the test set. At least one of
 * `label` and `target` is there. */
typedef struct dlf_dataset {
    const char *name; /* static: "digits", "fashion-mnist", "npy", "xor", ...         */
    int train, test, features;
    int classes;                 /* 0 without labels                                  */
    int targets;                 /* 0 without targets                                 */
    int channels, height, width; /* features = their product; 0,0,0 where no image    */
    float *x;                    /* (train+test, features) row-major; images: CHW     */
    int32_t *label;              /* (train+test), 0..classes-1; NULL: targets only    */
    float *target;               /* (train+test, targets) row-major; NULL: labels only */
} dlf_dataset;

/* NULL and zeroed are fine. */
void dlf_dataset_free(dlf_dataset *d);

/* Fisher-Yates permutation of 0..n-1 from (seed, stream, member): the same everywhere. */
void dlf_permutation(int32_t *out, int32_t n, uint64_t seed, uint32_t stream, uint32_t member);

/* ---- files --------------------------------------------------------------------------------- */

/* Every loaded x is scaled alike: each feature is centred by its mean over the training rows that
 * were loaded, and everything is divided by one number, the training standard deviation over all
 * features, so that E x^2 = 1 (where that deviation is 0, by nothing). NaN and Inf in a file are
 * values and spread accordingly. Targets stay as they are. */

typedef struct dlf_dataset_request {
    const char *data; /* directory of data sets (--data). NULL: environment DLF_DATA, then where the
                         package manager installs the set                                        */
    int train, test;  /* at most so many rows; 0: all. Only they are converted and kept          */
} dlf_dataset_request;

/* The data set `name`, which is one of dlf_dataset_names or a directory:
 *
 *   digits         inside the binary, see dlf_digits_load
 *   fashion-mnist  IDX;    1x28x28, 10 classes, 60,000 + 10,000; apt-get install
 * dataset-fashion-mnist mnist          IDX;    the same shape cifar-10       CIFAR;  3x32x32, 10
 * classes, 50,000 + 10,000 a directory    whichever of the formats below it holds, looked for in
 * this order
 *
 * A name is looked for in DATA/name (cifar-10 also in DATA/cifar-10-batches-bin) and then in DATA
 * itself. Formats, by the files in the directory:
 *
 *   IDX    train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
 *          t10k-labels-idx1-ubyte, each plain or .gz; unsigned bytes; 1 x height x width
 *   CIFAR  data_batch_1.bin, ... (as many of 1..5 as there are without a gap), test_batch.bin
 *   NPY    x.npy, y.npy, and x_test.npy, y_test.npy or neither: then the last fifth (at least one
 *          row) of one fixed permutation are the test rows. Versions 1-3; little-endian f4, f8, u1,
 *          i4, i8; C order. x is (n), (n,features), (n,h,w) or (n,c,h,w); integer y (n) or (n,1):
 *          labels; floating y (n) or (n,targets): targets
 *
 * classes = 1 + the largest training label; a test label beyond is an error. For the names it
 * is 10. Training rows come in the order of one fixed permutation of the file, test rows in that of
 * another: a request for k rows gets the first k that a larger request gets (scaled by its own
 * mean and deviation).
 *   errors  DLF_ERR_NOT_FOUND  neither a name nor a directory
 *           DLF_ERR_INPUT      files absent (says what to install), unreadable, damaged, hostile
 *           DLF_ERR_ARG        negative number of rows
 *           DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_dataset_load(dlf_dataset *out, const char *name,
                                           const dlf_dataset_request *request /* NULL: all */);

extern const char *const dlf_dataset_names[]; /* NULL-terminated */

/* Where `name` would be loaded from: a directory, or "inside the binary". *place is malloc'ed, NULL
 * on failure.  `data` as in the request. errors  as above; nothing in the files is read */
DLF_MUST_CHECK dlf_status dlf_dataset_find(char **place, const char *name, const char *data);

/* The 1,797 handwritten digits (1x8x8 pixels, 10 classes) that ship inside the binary: 1,297 train,
 * 500 test, by one fixed permutation. */
DLF_MUST_CHECK dlf_status dlf_digits_load(dlf_dataset *out);

/* The same from gzip'ed CSV text in memory: one line per image, `features` pixels 0..16, then the
 * label. Hostile input is DLF_ERR_INPUT with the line number.  `name` is for messages. */
DLF_MUST_CHECK dlf_status dlf_digits_parse(dlf_dataset *out, const void *gz, size_t size,
                                           const char *name);

/* ---- synthetic ----------------------------------------------------------------------------- */

/* Pure functions of the arguments (rng.h): the same bits on every machine, since only correctly
 * rounded operations are used, sine and tanh included. Training and test rows are streams of their
 * own: row i of either depends on the seed and on i, not on how many rows there are. Nothing is
 * scaled afterwards: what stands here is the distribution of x. Balanced: row i of each part
 * belongs to class i mod classes. N(0,1) are the draws of rng.h.
 *   errors  DLF_ERR_ARG  train < 1, test < 0, a size or number out of range, more than 2^29 numbers
 *           DLF_ERR_OOM  in both cases there is nothing to free */
typedef struct dlf_rows {
    uint64_t seed;
    int train, test;
} dlf_rows;

/* Balanced classes; x = centre of the class + N(0,1) noise. The centres lie on random orthogonal
 * axes, any two of them `separation` apart, so classes <= features; the Bayes error of two classes
 * is Phi(-separation/2). */
DLF_MUST_CHECK dlf_status dlf_make_mixture(dlf_dataset *out, dlf_rows rows, int classes,
                                           int features, double separation);

/* Two features: a corner (+-1,+-1), each as often, + noise * N(0,1). Label 1 where the corner's
 * signs differ. The best error is 2 q (1-q), q = Phi(-1/noise). */
DLF_MUST_CHECK dlf_status dlf_make_xor(dlf_dataset *out, dlf_rows rows, double noise);

/* Two features, one class per arm (2 or more), balanced: at radius t, uniform in [0,1), arm k of K
 * has the angle 2 pi (turns t + k/K); + noise * N(0,1) on both coordinates. */
DLF_MUST_CHECK dlf_status dlf_make_spirals(dlf_dataset *out, dlf_rows rows, int arms, double turns,
                                           double noise);

/* `bits` features, each +1 or -1 with probability 1/2. Label 1 where the number of +1 is odd. There
 * are only 2^bits inputs: with few bits, test rows are also training rows. */
DLF_MUST_CHECK dlf_status dlf_make_parity(dlf_dataset *out, dlf_rows rows, int bits);

/* Linear regression: x N(0,1), target = x . beta + noise * N(0,1). beta has a random direction
 * and the length `signal`; it goes to beta[features] unless NULL. */
DLF_MUST_CHECK dlf_status dlf_make_linear(dlf_dataset *out, dlf_rows rows, int features,
                                          double signal, double noise, double *beta);

typedef enum dlf_teacher_kind {
    DLF_TEACHER_LINEAR,
    DLF_TEACHER_RELU,
    DLF_TEACHER_TANH
} dlf_teacher_kind;

/* Targets are the outputs of a random network on x N(0,1): all weights N(0,1), no biases,
 *   linear      y = W x / sqrt(features)                       E y^2 = 1 over teachers
 *   relu, tanh  y = A phi(W x / sqrt(features)) / sqrt(hidden)  E y^2 -> E phi(z)^2, relu: 1/2
 * + noise * N(0,1) on every target, test rows included. */
typedef struct dlf_teacher {
    dlf_teacher_kind kind;
    int features, hidden, targets; /* hidden: 0 for linear, else >= 1 */
    double noise;
} dlf_teacher;
DLF_MUST_CHECK dlf_status dlf_make_teacher(dlf_dataset *out, dlf_rows rows, dlf_teacher teacher);

#ifdef __cplusplus
}
#endif
#endif
