/* SPDX-License-Identifier: MIT
 * detection_scenes.c -- Q42, Q44: boxes, scenes, and how detections are judged. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detection.h"
#include "dlf/rng.h"

double dlf_iou(dlf_box a, dlf_box b)
{
    const double height = fmin(a.y + a.height, b.y + b.height) - fmax(a.y, b.y),
                 width = fmin(a.x + a.width, b.x + b.width) - fmax(a.x, b.x),
                 both = height > 0.0 && width > 0.0 ? height * width : 0.0,
                 either = a.height * a.width + b.height * b.width - both;
    return either > 0.0 ? both / either : 0.0;
}

double dlf_round_to(double v, double stride)
{
    return stride * floor(v / stride + 0.5);
}

double dlf_rounded_iou(double side, double stride)
{
    enum { N = 32 }; /* midpoints of the place and of the side, along each axis */
    static double overlap[N * N], length[N * N], true_[N * N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            const double from = stride * (i + 0.5) / N,
                         to = from + side + stride * ((j + 0.5) / N - 0.5),
                         low = dlf_round_to(from, stride), high = dlf_round_to(to, stride);
            true_[i * N + j] = to - from;
            length[i * N + j] = high - low;
            overlap[i * N + j] = fmax(fmin(to, high) - fmax(from, low), 0.0);
        }
    double sum = 0.0;
    for (int v = 0; v < N * N; v++)
        for (int h = 0; h < N * N; h++) {
            const double both = overlap[v] * overlap[h];
            sum += both / (true_[v] * true_[h] + length[v] * length[h] - both);
        }
    return sum / ((double)N * N * N * N);
}

/* ---- scenes ---- */

void dlf_digit_ink(float *ink, const dlf_dataset *digits)
{
    const int n = digits->train + digits->test, F = DLF_WINDOW_PIXELS;
    float most = 0.0f;
    for (int j = 0; j < F; j++) {
        float least = digits->x[j];
        for (int i = 0; i < n; i++) least = fminf(least, digits->x[(long)i * F + j]);
        for (int i = 0; i < n; i++) {
            ink[(long)i * F + j] = digits->x[(long)i * F + j] - least; /* blank paper is 0 */
            most = fmaxf(most, ink[(long)i * F + j]);
        }
    }
    for (long i = 0; i < (long)n * F; i++) ink[i] /= most;
}

static bool is_free(const dlf_scene *s, int y, int x)
{
    for (int k = 0; k < s->pieces; k++)
        if (abs(s->y[k] - y) < DLF_WINDOW && abs(s->x[k] - x) < DLF_WINDOW) return false;
    return true;
}

void dlf_scene_draw(dlf_scene *s, const float *ink, const int32_t *label, int first, int count,
                    uint64_t seed, uint32_t stream, uint32_t member, uint32_t index)
{
    enum { TRIES = 400, PER_SCENE = 1024 };
    uint64_t at = (uint64_t)index * PER_SCENE;
    memset(s, 0, sizeof *s);
    for (int k = 0; k < DLF_SCENE_PIECES; k++) {
        const uint32_t which = dlf_rng_bits(seed, stream, member, at++);
        const int row = first + (int)((which >> 2) % (uint32_t)count);
        const bool clutter = k >= DLF_SCENE_OBJECTS, left = which & 1;
        int y = 0, x = 0, tries = 0;
        do {
            const uint32_t where = dlf_rng_bits(seed, stream, member, at++);
            y = (int)((where >> 16) % DLF_WINDOWS_ALONG);
            x = (int)((where & 0xffff) % DLF_WINDOWS_ALONG);
        } while (!is_free(s, y, x) && ++tries < TRIES / DLF_SCENE_PIECES);
        if (!is_free(s, y, x)) continue; /* full: one piece less */
        for (int i = 0; i < DLF_WINDOW; i++)
            for (int j = 0; j < DLF_WINDOW; j++)
                if (!clutter || (j < DLF_WINDOW / 2) == left)
                    s->pixel[(y + i) * DLF_SCENE_SIDE + x + j] =
                        ink[(long)row * DLF_WINDOW_PIXELS + i * DLF_WINDOW + j];
        s->y[s->pieces] = y;
        s->x[s->pieces] = x;
        s->label[s->pieces++] = clutter ? DLF_NOTHING : label[row];
    }
}

void dlf_scene_window(float *out, const dlf_scene *s, int y, int x)
{
    for (int i = 0; i < DLF_WINDOW; i++)
        memcpy(out + i * DLF_WINDOW, s->pixel + (y + i) * DLF_SCENE_SIDE + x,
               DLF_WINDOW * sizeof *out);
}

static double window_iou(int ay, int ax, int by, int bx)
{
    return dlf_iou((dlf_box){ay, ax, DLF_WINDOW, DLF_WINDOW},
                   (dlf_box){by, bx, DLF_WINDOW, DLF_WINDOW});
}

int dlf_scene_shows(const dlf_scene *s, int y, int x)
{
    for (int k = 0; k < s->pieces; k++)
        if (s->label[k] != DLF_NOTHING && window_iou(s->y[k], s->x[k], y, x) >= 0.5)
            return s->label[k];
    return DLF_NOTHING;
}

/* ---- judging ---- */

static int by_score(const void *a, const void *b)
{
    const dlf_detection *p = a, *q = b;
    if (p->score != q->score) return p->score < q->score ? 1 : -1;
    if (p->scene != q->scene) return p->scene < q->scene ? -1 : 1;
    return p->y != q->y ? p->y - q->y : p->x - q->x;
}

static int by_scene(const void *a, const void *b)
{
    const dlf_detection *p = a, *q = b;
    return p->scene != q->scene ? p->scene - q->scene : by_score(a, b);
}

int dlf_suppress(dlf_detection *d, int n, double most)
{
    int kept = 0, first = 0; /* of its scene, among the kept */
    qsort(d, (size_t)n, sizeof *d, by_scene);
    for (int i = 0; i < n; i++) {
        bool overlaps = false;
        if (kept && d[kept - 1].scene != d[i].scene) first = kept;
        for (int k = first; k < kept && !overlaps; k++)
            overlaps = window_iou(d[k].y, d[k].x, d[i].y, d[i].x) > most;
        if (!overlaps) d[kept++] = d[i];
    }
    qsort(d, (size_t)kept, sizeof *d, by_score);
    return kept;
}

/* The object of its scene that d hits, or -1. */
static int hit(const dlf_detection *d, const dlf_scene *s)
{
    for (int k = 0; k < s->pieces; k++)
        if (s->label[k] == d->label && window_iou(s->y[k], s->x[k], d->y, d->x) >= 0.5) return k;
    return -1;
}

double dlf_average_precision(const dlf_detection *d, int n, const dlf_scene *scenes, int n_scenes,
                             double *precision, int bins)
{
    int objects = 0, hits = 0;
    double sum = 0.0;
    unsigned char *found = calloc((size_t)n_scenes, DLF_SCENE_PIECES);
    if (!found) return (double)NAN;
    for (int s = 0; s < n_scenes; s++)
        for (int k = 0; k < scenes[s].pieces; k++) objects += scenes[s].label[k] != DLF_NOTHING;
    for (int b = 0; precision && b < bins; b++) precision[b] = 0.0;
    for (int i = 0; i < n; i++) {
        const int k = hit(&d[i], &scenes[d[i].scene]);
        if (k < 0 || found[d[i].scene * DLF_SCENE_PIECES + k]) continue;
        found[d[i].scene * DLF_SCENE_PIECES + k] = 1;
        hits++;
        const double p = (double)hits / (i + 1);
        sum += p;
        for (int b = 0; precision && b < bins; b++)
            if ((double)hits / objects >= (b + 1.0) / bins - 1e-12)
                precision[b] = fmax(precision[b], p);
    }
    free(found);
    return objects ? sum / objects : (double)NAN;
}

bool dlf_grid_reaches(int stride, int y, int x)
{
    for (int gy = 0; gy < DLF_WINDOWS_ALONG; gy += stride)
        for (int gx = 0; gx < DLF_WINDOWS_ALONG; gx += stride)
            if (window_iou(y, x, gy, gx) >= 0.5) return true;
    return false;
}

double dlf_grid_recall(int stride)
{
    int reached = 0;
    for (int w = 0; w < DLF_WINDOWS; w++)
        reached += dlf_grid_reaches(stride, w / DLF_WINDOWS_ALONG, w % DLF_WINDOWS_ALONG);
    return (double)reached / DLF_WINDOWS;
}
