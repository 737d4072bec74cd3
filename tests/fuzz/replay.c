/* SPDX-License-Identifier: MIT
 * replay.c -- CORPUS/format/...: every stored input once, without a fuzzer. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_data.h"

enum { INPUT_MAX = 1 << 20 };

static bool replay(const char *format, const char *path)
{
    static unsigned char input[INPUT_MAX];
    char scratch[] = "/tmp/dlf-fuzz-XXXXXX", command[64];
    FILE *file = fopen(path, "rb");
    if (!file || !mkdtemp(scratch)) {
        fprintf(stderr, "cannot read %s, or make %s\n", path, scratch);
        return false;
    }
    const size_t size = fread(input, 1, sizeof input, file);
    fclose(file);
    printf("%s, %zu bytes\n", path, size);
    fflush(stdout); /* names the input, should it abort */
    const bool known = dlf_fuzz_data(format, scratch, input, size);
    snprintf(command, sizeof command, "rm -r %s", scratch);
    return system(command) == 0 && known;
}

/* How many inputs DIR/format holds; -1: not all could be replayed. */
static int replay_all(const char *corpus, const char *format)
{
    char path[1024];
    int n = 0;
    snprintf(path, sizeof path, "%s/%s", corpus, format);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s/%.500s", corpus, format, e->d_name);
        if (!replay(format, path)) n = -1;
        if (n < 0) break;
        n++;
    }
    if (dir) closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    static const char *const formats[] = {"idx", "npy", "cifar", "digits"};
    for (int i = 0; i < 4; i++) {
        const int n = argc == 2 ? replay_all(argv[1], formats[i]) : 0;
        if (n > 0) continue;
        fprintf(stderr, "%s: no inputs replayed\n", formats[i]);
        return 1;
    }
    return 0;
}
