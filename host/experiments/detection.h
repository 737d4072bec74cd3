/* SPDX-License-Identifier: MIT
 * detection.h -- the parts of the experiment `detection` (Q42, Q44), its scenes and its detector.
 */
#ifndef DLF_DETECTION_H
#define DLF_DETECTION_H
#include "dlf/data.h"
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_detection_counts(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_detection_shared(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_detection_rounding(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_detection_digits(dlf_run *run, double from, double to);

/* ---- boxes ------------------------------------------------------------------------------------
 */

typedef struct dlf_box {
    double y, x, height, width;
} dlf_box;

/* Intersection over union; 0 where both are empty. */
double dlf_iou(dlf_box a, dlf_box b);

/* The nearest multiple of `stride`, halves upwards. */
double dlf_round_to(double v, double stride);

/* Expected IoU of a box with its edges rounded to multiples of `stride`: its place is uniform, its
 * height and its width are `side` give or take U(-stride/2, stride/2). By quadrature, to 1e-3. */
double dlf_rounded_iou(double side, double stride);

/* ---- scenes -----------------------------------------------------------------------------------
 *
 * A canvas with handwritten digits and halves of digits (clutter) that do not overlap. */
enum {
    DLF_SCENE_SIDE = 32,
    DLF_SCENE_OBJECTS = 3,
    DLF_SCENE_PIECES = 5, /* the others are halves */
    DLF_WINDOW = 8,
    DLF_WINDOW_PIXELS = DLF_WINDOW * DLF_WINDOW,
    DLF_WINDOWS_ALONG = DLF_SCENE_SIDE - DLF_WINDOW + 1,
    DLF_WINDOWS = DLF_WINDOWS_ALONG * DLF_WINDOWS_ALONG,
    DLF_DETECTION_CLASSES = 11, /* the last: nothing */
    DLF_NOTHING = 10
};

typedef struct dlf_scene {
    float pixel[DLF_SCENE_SIDE * DLF_SCENE_SIDE];
    int pieces;
    int y[DLF_SCENE_PIECES], x[DLF_SCENE_PIECES]; /* upper left corners */
    int label[DLF_SCENE_PIECES];                  /* 0..9; DLF_NOTHING: clutter */
} dlf_scene;

/* The digits as ink 0..1, (n, 64), from a loaded data set, whose pixels are centred. */
void dlf_digit_ink(float *ink, const dlf_dataset *digits);

/* Scene `index` of a stream, from rows first .. first+count-1 of ink; pure function. */
void dlf_scene_draw(dlf_scene *s, const float *ink, const int32_t *label, int first, int count,
                    uint64_t seed, uint32_t stream, uint32_t member, uint32_t index);

/* The window at (y, x) as 64 numbers; and the digit it shows at IoU >= 1/2, or DLF_NOTHING. */
void dlf_scene_window(float *out, const dlf_scene *s, int y, int x);
int dlf_scene_shows(const dlf_scene *s, int y, int x);

/* ---- judging ----------------------------------------------------------------------------------
 */

typedef struct dlf_detection {
    int scene, y, x, label;
    double score;
} dlf_detection;

/* Keep the highest score and drop what overlaps it (IoU above `most`), again and again, within
 * each scene. Sorts by score; returns how many are left. */
int dlf_suppress(dlf_detection *d, int n, double most);

/* Average precision of detections sorted by score: a hit has the label of a digit of its scene, IoU
 * >= 1/2, and is the first of it.  precision (bins) gets, at recall (i+1)/bins, the best precision
 * at that recall or more; NULL is fine. */
double dlf_average_precision(const dlf_detection *d, int n, const dlf_scene *scenes, int n_scenes,
                             double *precision, int bins);

/* Has a grid of steps `stride` a window with IoU >= 1/2 to the one at (y, x)? And the share of
 * places for which it has. */
bool dlf_grid_reaches(int stride, int y, int x);
double dlf_grid_recall(int stride);
#endif
