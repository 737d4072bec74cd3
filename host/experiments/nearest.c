/* SPDX-License-Identifier: MIT
 * nearest.c -- suggestions for misspelt names. */
#include "experiments/nearest.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { WORD_MAX = 63, SUGGESTIONS = 3, LISTED = 12 };

static int min2(int a, int b)
{
    return a < b ? a : b;
}

int dlf_edit_distance(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX || nb > WORD_MAX) return INT_MAX; /* no name of ours is that long */
    int d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= na; i++) d[i][0] = (int)i;
    for (size_t j = 0; j <= nb; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            const int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            d[i][j] = min2(d[i - 1][j - 1] + (ca != cb), min2(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]))
                d[i][j] = min2(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[na][nb];
}

/* How far `name` is; the beginning of a name counts as one edit. */
static int distance(const char *typed, const char *name)
{
    const size_t n = strlen(typed);
    if (n >= 2 && strncasecmp(typed, name, n) == 0) return 1;
    return dlf_edit_distance(typed, name);
}

__attribute__((format(printf, 3, 4))) static void append(char *out, size_t size, const char *format,
                                                         ...)
{
    const size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + used, size - used, format, args);
    va_end(args);
}

const char *dlf_nearest(char *out, size_t size, const char *typed, const char *const *names)
{
    const int near_enough = 1 + min2((int)strlen(typed), WORD_MAX) / 3;
    int best = INT_MAX;
    for (int i = 0; names[i]; i++) best = min2(best, distance(typed, names[i]));
    out[0] = '\0';
    int shown = 0;
    if (best <= near_enough) {
        for (int i = 0; names[i] && shown < SUGGESTIONS; i++) {
            if (distance(typed, names[i]) != best) continue;
            append(out, size, "%s'%s'", shown++ ? " or " : "; did you mean ", names[i]);
        }
        append(out, size, "?");
    } else {
        for (; names[shown] && shown < LISTED; shown++)
            append(out, size, "%s%s", shown ? ", " : "; there are ", names[shown]);
        if (shown && names[shown]) append(out, size, ", ...");
    }
    return out;
}
