/* SPDX-License-Identifier: MIT
 * test_video.c -- Q30: the clips are what they are said to be, the closed forms, and a small run.
 */
#include "small_run.h"

#include "experiments/video.h"

/* The most ink that one pixel collects which starts anywhere and moves by `step` per frame. */
static double ink_along(const float *x, int step)
{
    double most = 0.0;
    for (int start = 0; start < DLF_CLIP_RING; start++) {
        double ink = 0.0;
        for (int t = 0; t < DLF_CLIP_FRAMES; t++)
            ink += x[t * DLF_CLIP_PIXELS + 2 +
                     (start + step * t + DLF_CLIP_FRAMES * DLF_CLIP_RING) % DLF_CLIP_RING];
        most = fmax(most, ink);
    }
    return most;
}

/* With motion = 1 the label is the direction, with 0 the width; the margins repeat the ring. */
static void labels_are_direction_or_width(void **state)
{
    enum { ROWS = 200 };
    for (int motion = 0; motion < 2; motion++) {
        dlf_dataset clips;
        OK(dlf_clips_new(&clips, 3, 2, ROWS, motion));
        int ones = 0, wrong = 0;
        for (int c = 0; c < 2 * ROWS; c++) {
            const float *x = clips.x + (long)c * DLF_CLIP_FEATURES;
            double ink = 0.0;
            for (int i = 0; i < DLF_CLIP_FEATURES; i++)
                if (i % DLF_CLIP_PIXELS >= 2 && i % DLF_CLIP_PIXELS < 2 + DLF_CLIP_RING)
                    ink += x[i];
            const bool right = ink_along(x, 1) > ink_along(x, -1);
            wrong += (motion ? right : ink > 2.0 * DLF_CLIP_FRAMES) != clips.label[c];
            ones += clips.label[c];
            assert_true(x[0] == x[DLF_CLIP_RING] && x[2] == x[DLF_CLIP_RING + 2]);
        }
        assert_true(wrong <= 2);
        assert_true(ones > 150 && ones < 250);
        dlf_dataset_free(&clips);
    }
}

static void closed_forms(void **state)
{
    for (double m = 0.0; m <= 1.0; m += 0.0625) {
        /* by counting: cue and direction agree in half of the clips, and then both are right */
        assert_true(fabs(dlf_video_best(m, true) - (m > 0.5 ? 0.5 + m / 2 : 1.0 - m / 2)) < 1e-15);
        assert_true(dlf_video_best(m, true) >= dlf_video_best(m, false));
        assert_true((dlf_video_best(m, true) > dlf_video_best(m, false)) == (m > 0.5));
    }
    assert_true(dlf_video_best(1.0, false) == 0.5 && dlf_video_best(0.0, false) == 1.0);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q30",
        .slug = "video",
        .seed = 1,
        .seeds = 3,
        .set = {{"clips", "512"}, {"test_clips", "1000"}, {"steps", "150"}},
        .left_out = {"flow_sees", "gain_", "linear_blind", "kernels_need_less"},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_direction_or_width),
        cmocka_unit_test(closed_forms),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
