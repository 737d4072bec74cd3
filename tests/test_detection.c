/* SPDX-License-Identifier: MIT
 * test_detection.c -- Q42, Q44: boxes, suppression and average precision against cases worked out
 * by hand, and a small run. */
#include "small_run.h"

#include "experiments/detection.h"

static void boxes(void **state)
{
    const dlf_box a = {0, 0, 8, 8};
    assert_true(dlf_iou(a, a) == 1.0);
    assert_true(fabs(dlf_iou(a, (dlf_box){1, 0, 8, 8}) - 56.0 / 72.0) < 1e-15);
    assert_true(fabs(dlf_iou(a, (dlf_box){2, 1, 8, 8}) - 42.0 / 86.0) < 1e-15);
    assert_true(dlf_iou(a, (dlf_box){8, 0, 8, 8}) == 0.0); /* they touch */
    assert_true(dlf_iou(a, (dlf_box){3, 3, 0, 0}) == 0.0);
    assert_true(dlf_round_to(24.0, 16.0) == 32.0 && dlf_round_to(23.9, 16.0) == 16.0);
    /* nothing is rounded away by a tiny stride; of a box far smaller than the stride hardly
     * anything is left */
    assert_true(dlf_rounded_iou(64.0, 0.01) > 0.999);
    assert_true(dlf_rounded_iou(64.0, 16.0) > dlf_rounded_iou(32.0, 16.0));
    assert_true(fabs(dlf_rounded_iou(64.0, 16.0) - dlf_rounded_iou(32.0, 8.0)) < 1e-12);
    assert_true(dlf_grid_recall(1) == 1.0 && dlf_grid_recall(2) == 1.0);
    /* along an axis of 25 places a grid of 4 leaves offsets 0, 1, 1, 2; of the pairs of those
     * (1,2), (2,1) and (2,2) fall below one half */
    const double one = 12.0 / 25, two = 6.0 / 25;
    assert_true(fabs(dlf_grid_recall(4) - (1.0 - 2.0 * one * two - two * two)) < 1e-12);
}

static void average_precision_by_hand(void **state)
{
    dlf_scene scenes[2] = {{.pieces = 2, .y = {0, 20}, .x = {0, 20}, .label = {3, 5}},
                           {.pieces = 2, .y = {4, 20}, .x = {4, 0}, .label = {7, DLF_NOTHING}}};
    dlf_detection d[] = {{0, 0, 0, 3, 0.9},    /* hit                                   */
                         {0, 0, 1, 3, 0.8},    /* the same once more: a miss            */
                         {1, 5, 4, 7, 0.7},    /* hit, one pixel off                    */
                         {1, 20, 0, 1, 0.6},   /* clutter: a miss                       */
                         {0, 20, 20, 4, 0.5}}; /* wrong digit: a miss                   */
    double precision[3];
    const double ap = dlf_average_precision(d, 5, scenes, 2, precision, 3);
    assert_true(fabs(ap - (1.0 + 2.0 / 3.0) / 3.0) < 1e-15);
    assert_true(precision[0] == 1.0 && fabs(precision[1] - 2.0 / 3.0) < 1e-15 &&
                precision[2] == 0.0);
    /* suppressed, the second is gone; another scene's box at the same place stays */
    assert_int_equal(dlf_suppress(d, 5, 0.3), 4);
    assert_true(d[0].score == 0.9 && d[1].score == 0.7);
    assert_true(fabs(dlf_average_precision(d, 4, scenes, 2, NULL, 0) - 2.0 / 3.0) < 1e-15);
    dlf_detection same[] = {{0, 4, 4, 1, 0.5}, {1, 4, 4, 1, 0.6}};
    assert_int_equal(dlf_suppress(same, 2, 0.3), 2);
    assert_true(same[0].scene == 1);
}

static void scenes_show_what_they_hold(void **state)
{
    dlf_dataset digits;
    OK(dlf_digits_load(&digits));
    const int n = digits.train + digits.test;
    float *ink = malloc((size_t)n * DLF_WINDOW_PIXELS * sizeof *ink), window[DLF_WINDOW_PIXELS];
    assert_non_null(ink);
    dlf_digit_ink(ink, &digits);
    for (long i = 0; i < (long)n * DLF_WINDOW_PIXELS; i++) assert_true(ink[i] >= 0 && ink[i] <= 1);
    for (uint32_t k = 0; k < 50; k++) {
        dlf_scene s;
        dlf_scene_draw(&s, ink, digits.label, 0, digits.train, 1, 7, 0, k);
        assert_true(s.pieces >= DLF_SCENE_OBJECTS - 1);
        for (int i = 0; i < s.pieces; i++) {
            assert_int_equal(dlf_scene_shows(&s, s.y[i], s.x[i]), s.label[i]);
            dlf_scene_window(window, &s, s.y[i], s.x[i]);
            float sum = 0.0f;
            for (int j = 0; j < DLF_WINDOW_PIXELS; j++) sum += window[j];
            assert_true(sum > 0.5f);
            for (int j = 0; j < i; j++)
                assert_true(abs(s.y[i] - s.y[j]) >= DLF_WINDOW ||
                            abs(s.x[i] - s.x[j]) >= DLF_WINDOW);
        }
    }
    free(ink);
    dlf_dataset_free(&digits);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q42",
        .slug = "detection",
        .seed = 1,
        .seeds = 4,
        .set = {{"scenes", "120"},
                {"test_scenes", "60"},
                {"steps", "300"},
                {"boxes", "2000"},
                {"proposals", "8"}},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes),
        cmocka_unit_test(average_precision_by_hand),
        cmocka_unit_test(scenes_show_what_they_hold),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
