/* SPDX-License-Identifier: MIT
 * test_status.c -- texts, exit codes and the sentence of the last error. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dlf/status.h"

static void texts_and_exit_codes(void **state)
{
#define X(name, value, exit_code, text)                                                            \
    assert_int_equal(DLF_##name, value);                                                           \
    assert_string_equal(dlf_status_text(DLF_##name), text);                                        \
    assert_int_equal(dlf_status_exit_code(DLF_##name), exit_code);
    DLF_STATUS_MAP(X)
#undef X
    assert_non_null(dlf_status_text((dlf_status)-1000));
    assert_int_equal(dlf_status_exit_code((dlf_status)-1000), 1);
}

static void last_sentence(void **state)
{
    dlf_error_clear();
    assert_string_equal(dlf_error_message(), "");
    assert_int_equal(dlf_fail(DLF_ERR_ARG, "%s is %d", "x", 7), DLF_ERR_ARG);
    assert_string_equal(dlf_error_message(), "x is 7");
    /* A sentence may quote the last one. */
    (void)dlf_fail(DLF_ERR_INPUT, "line 3: %s", dlf_error_message());
    assert_string_equal(dlf_error_message(), "line 3: x is 7");
    char longer[5000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    (void)dlf_fail(DLF_ERR_ARG, "%s", longer); /* cut, not overrun */
    assert_in_range(strlen(dlf_error_message()), 500, sizeof longer - 2);
}

static void *other_thread(void *unused)
{
    const int clean = dlf_error_message()[0] == '\0';
    (void)dlf_fail(DLF_ERR_ARG, "theirs");
    return clean ? (void *)"clean" : NULL;
}

static void one_sentence_per_thread(void **state)
{
    (void)dlf_fail(DLF_ERR_ARG, "ours");
    pthread_t thread;
    void *result = NULL;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    assert_string_equal(dlf_error_message(), "ours");
}

static int calls;
static dlf_status count_call(dlf_status status)
{
    calls++;
    return status;
}
static dlf_status try_twice(dlf_status first)
{
    DLF_TRY(count_call(first));
    DLF_TRY(count_call(DLF_OK));
    return DLF_OK;
}

static void try_evaluates_once(void **state)
{
    calls = 0;
    assert_int_equal(try_twice(DLF_ERR_OOM), DLF_ERR_OOM);
    assert_int_equal(calls, 1);
    assert_int_equal(try_twice(DLF_OK), DLF_OK);
    assert_int_equal(calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_exit_codes),
        cmocka_unit_test(last_sentence),
        cmocka_unit_test(one_sentence_per_thread),
        cmocka_unit_test(try_evaluates_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
