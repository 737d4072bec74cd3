/* SPDX-License-Identifier: MIT
 * main.c -- the only place that turns a status into a sentence on stderr and an exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

/* libgomp lets a waiting thread spin for milliseconds, which on a busy machine takes the core from
 * the very thread that it waits for: training on two cores under load ran 4 to 8 times slower. A
 * spin of some microseconds keeps the quiet case as fast. libgomp reads its settings before main()
 * starts, so they are set here and the program is started anew, once. */
static void tame_spinning(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (setenv("GOMP_SPINCOUNT", "100", 1) != 0) return;
    execv("/proc/self/exe", argv); /* returns only where there is no /proc: go on as we are */
}

int main(int argc, char **argv)
{
    tame_spinning(argv);
    const dlf_status status = dlf_cli(argc, argv);
    if (status != DLF_OK) {
        const char *message = dlf_error_message();
        fprintf(stderr, "dlf: %s\n", *message ? message : dlf_status_text(status));
    }
    return dlf_status_exit_code(status);
}
