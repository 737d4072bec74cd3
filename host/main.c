/* SPDX-License-Identifier: MIT
 * main.c -- the only place that turns a status into a sentence on stderr and an exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

/* OpenMP threads that spin while they wait take the time of those that they wait for as soon as
 * anything else runs on the machine: measured, 114 s instead of 14 s for `run exploding` on 2 busy
 * cores, and no difference on idle ones. libgomp reads its environment when it is loaded, so asking
 * it to sleep means starting once more (2 ms); who set a policy keeps it. */
static void let_waiting_threads_sleep(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    if (setenv("OMP_WAIT_POLICY", "passive", 0) == 0) execv("/proc/self/exe", argv);
    /* No /proc: go on as we are. */
}

int main(int argc, char **argv)
{
    let_waiting_threads_sleep(argv);
    const dlf_status status = dlf_cli(argc, argv);
    if (status != DLF_OK) {
        const char *message = dlf_error_message();
        fprintf(stderr, "dlf: %s\n", *message ? message : dlf_status_text(status));
    }
    return dlf_status_exit_code(status);
}
