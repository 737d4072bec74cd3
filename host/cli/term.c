/* SPDX-License-Identifier: MIT
 * term.c -- language, colours, progress, Ctrl-C. */
#include "cli/term.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "result/utf8.h"

/* ---- language ---------------------------------------------------------------------------------
 */

static bool locale_is_chinese(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strncmp(value, "zh", 2) == 0;
    }
    return false;
}

dlf_status cli_language_of(cli_language *out, const cli_args *args)
{
    const char *typed = args ? cli_value(args, "lang", NULL) : NULL;
    *out = (cli_language){.say_zh = locale_is_chinese(), .zh = true, .en = true};
    if (!typed || strcmp(typed, "both") == 0) return DLF_OK;
    out->zh = strcmp(typed, "zh") == 0;
    out->en = strcmp(typed, "en") == 0;
    out->say_zh = out->zh;
    if (!out->zh && !out->en)
        return dlf_fail(DLF_ERR_ARG, "%s: --lang is zh, en or both, not '%.40s'", args->command,
                        typed);
    return DLF_OK;
}

const char *cli_say(const cli_language *language, dlf_text text)
{
    return language->say_zh ? text.zh : text.en;
}

/* ---- terminal ---------------------------------------------------------------------------------
 */

bool cli_is_terminal(FILE *stream)
{
    const char *term = getenv("TERM");
    return isatty(fileno(stream)) && term && *term && strcmp(term, "dumb") != 0;
}

bool cli_has_colours(FILE *stream)
{
    const char *no = getenv("NO_COLOR");
    return cli_is_terminal(stream) && !(no && *no);
}

int cli_columns(FILE *stream)
{
    struct winsize w;
    if (ioctl(fileno(stream), TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    const char *columns = getenv("COLUMNS");
    const int n = columns ? atoi(columns) : 0;
    return n > 0 ? n : 80;
}

bool cli_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

void cli_print_padded(FILE *stream, const char *text, int columns)
{
    const int missing = columns - dlf_utf8_string_columns(text);
    fprintf(stream, "%s%*s", text, missing > 0 ? missing : 0, "");
}

void cli_print_cell(FILE *stream, const char *text, int columns)
{
    cli_print_padded(stream, text, columns - 1);
    fputc(' ', stream);
}

void cli_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("dlf: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- progress ---------------------------------------------------------------------------------
 */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Print as much of `text` as fits: a line that wraps cannot be redrawn. */
static void print_clipped(const char *text, int columns)
{
    uint32_t c;
    int n;
    while ((n = dlf_utf8_decode(text, &c)) != 0) {
        if (n < 0 || c < 0x20) { /* not text: skip the byte */
            text++;
            continue;
        }
        columns -= dlf_utf8_columns(c);
        if (columns < 0) return;
        fwrite(text, 1, (size_t)n, stderr);
        text += n;
    }
}

void cli_progress_begin(cli_progress *p, const char *name, bool quiet)
{
    *p = (cli_progress){.on = !quiet && cli_is_terminal(stderr), .name = name};
    p->start = seconds_now();
    cli_progress_update(p, 0.0, "");
}

void cli_progress_update(void *user, double fraction, const char *text)
{
    enum { BAR = 20 };
    cli_progress *p = user;
    const double now = seconds_now();
    if (!p->on || now - p->drawn < 0.1) return; /* ten times a second is enough for eyes */
    p->drawn = now;

    char bar[BAR + 1], eta[32] = "", line[512];
    const int filled = (int)(fraction * BAR);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)filled);
    bar[BAR] = '\0';
    const double elapsed = now - p->start;
    if (fraction > 0.02 && elapsed > 0.3)
        snprintf(eta, sizeof eta, "  ETA %.0f s", elapsed * (1.0 - fraction) / fraction);
    snprintf(line, sizeof line, "%s [%s] %3.0f %%%s  %s", p->name, bar, 100.0 * fraction, eta,
             text);
    fputs("\r\x1b[K", stderr);
    print_clipped(line, cli_columns(stderr) - 1);
    fflush(stderr);
}

void cli_progress_end(cli_progress *p)
{
    if (p->on) fputs("\r\x1b[K", stderr);
    p->on = false;
}

/* ---- Ctrl-C -----------------------------------------------------------------------------------
 */

static volatile sig_atomic_t interrupted;
_Static_assert(sizeof(sig_atomic_t) == sizeof(int), "dlf_run_options.cancel is an int");

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

volatile const int *cli_catch_interrupts(void)
{
    static const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        struct sigaction old;
        /* SA_RESETHAND: the second signal meets the default action. */
        struct sigaction act = {.sa_handler = on_signal,
                                .sa_flags = (int)SA_RESETHAND | SA_RESTART};
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
        sigaction(signals[i], &act, NULL);
    }
    return &interrupted;
}
