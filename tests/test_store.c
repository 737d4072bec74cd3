/* SPDX-License-Identifier: MIT
 * test_store.c -- results as files: CSV, store and load, full disks and unwritable places. */
#include "result_sample.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "result/atomic_file.h"

/* ---- files ----------------------------------------------------------------------------------- */

static char root[] = "/tmp/dlf_test_result.XXXXXX";

static char *in_root(const char *name)
{
    char *path = dlf_path_join(root, name);
    assert_non_null(path);
    return path;
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) < (1 << 20) - 1);
    fclose(file);
    return text;
}

static void test_csv(void **state)
{
    (void)state;
    dlf_result *r = new_result();
    dlf_table *t;
    OK(dlf_result_table(r, "t", TEXT("表", "T"), (dlf_column[]){{"name", NULL}, {"x", "1"}, {NULL}},
                        &t));
    OK(dlf_table_row(t, DLF_TXT("plain 中"), DLF_NUM(0.1)));
    OK(dlf_table_row(t, DLF_TXT("a,b"), DLF_NUM(NAN)));
    OK(dlf_table_row(t, DLF_TXT("say \"x\""), DLF_NUM(INFINITY)));
    OK(dlf_table_row(t, DLF_TXT("two\nlines"), DLF_NUM(-INFINITY)));
    OK(dlf_table_row(t, DLF_TXT(""), DLF_NUM(5e-324)));
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);
    OK(dlf_table_write_csv(t, memory));
    fclose(memory);
    assert_string_equal(text, "name,x\r\nplain 中,0.10000000000000001\r\n\"a,b\",NaN\r\n"
                              "\"say \"\"x\"\"\",Infinity\r\n\"two\nlines\",-Infinity\r\n"
                              ",4.9406564584124654e-324\r\n");
    free(text);
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        assert_int_equal(dlf_table_write_csv(t, full), DLF_ERR_OUTPUT);
        fclose(full);
    }
    dlf_result_free(r);
}

static void test_store_and_load(void **state)
{
    (void)state;
    dlf_result *r = new_result(), *back;
    add_everything(r);
    char *dir = in_root("a/b//c"), *csv = in_root("a/b/c/growth.csv"), *json = to_json(r), *text;
    OK(dlf_result_store(r, dir));
    OK(dlf_result_store(r, dir)); /* over an old one */
    OK(dlf_result_load(&back, dir));
    text = to_json(back);
    assert_string_equal(text, json);
    free(text);
    text = slurp(csv);
    assert_non_null(text);
    assert_memory_equal(text, "activation,x,y\r\n", 16);
    assert_int_equal(dlf_result_load(&(dlf_result *){NULL}, csv), DLF_ERR_INPUT);
    assert_non_null(strstr(dlf_error_message(), "growth.csv"));
    assert_int_equal(dlf_result_load(&(dlf_result *){NULL}, "/nonexistent"), DLF_ERR_INPUT);
    free(text);
    free(json);
    free(dir);
    free(csv);
    dlf_result_free(r);
    dlf_result_free(back);
}

static int count_entries(const char *dir)
{
    char command[300];
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", dir);
    FILE *pipe = popen(command, "r");
    int n = -1;
    assert_int_equal(fscanf(pipe, "%d", &n), 1);
    pclose(pipe);
    return n;
}

static void test_failed_write_keeps_the_old_file(void **state)
{
    (void)state;
    char *dir = in_root("atomic"), *path = in_root("atomic/file");
    OK(dlf_make_directories(dir));
    OK(dlf_write_file_atomically(path, "old", 3));
    char *big = calloc(1, 1 << 16);
    struct rlimit old, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); /* stands in for a full disk */
    const dlf_status status = dlf_write_file_atomically(path, big, 1 << 16);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, DLF_ERR_OUTPUT);
    assert_non_null(strstr(dlf_error_message(), path));
    assert_non_null(strstr(dlf_error_message(), "File too large"));
    char *text = slurp(path);
    assert_string_equal(text, "old");
    assert_int_equal(count_entries(dir), 1); /* no debris */
    OK(dlf_write_file_atomically(path, big, 1 << 16));
    OK(dlf_write_file_atomically(path, "", 0));
    free(text);
    free(big);
    free(dir);
    free(path);
}

static void test_unwritable_places(void **state)
{
    (void)state;
    char *file = in_root("plain"), *below = in_root("plain/dir"), *missing = in_root("no/such");
    dlf_result *r = new_result();
    OK(dlf_write_file_atomically(file, "x", 1));
    assert_int_equal(dlf_make_directories(below), DLF_ERR_OUTPUT);
    assert_non_null(strstr(dlf_error_message(), "Not a directory"));
    assert_int_equal(dlf_make_directories(file), DLF_ERR_OUTPUT);
    assert_int_equal(dlf_make_directories(""), DLF_ERR_OUTPUT);
    assert_int_equal(dlf_result_store(r, below), DLF_ERR_OUTPUT);
    assert_int_equal(dlf_write_file_atomically(missing, "x", 1), DLF_ERR_OUTPUT);
    assert_non_null(strstr(dlf_error_message(), missing));
    assert_int_equal(dlf_write_file_atomically(root, "x", 1), DLF_ERR_OUTPUT); /* a directory */
    dlf_result_free(r);
    free(file);
    free(below);
    free(missing);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_store_and_load),
        cmocka_unit_test(test_failed_write_keeps_the_old_file),
        cmocka_unit_test(test_unwritable_places),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
