/* SPDX-License-Identifier: MIT
 * main.c -- the only place that turns a status into a sentence on stderr and an exit code. */
#include <stdio.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
    const dlf_status status = dlf_cli(argc, argv);
    if (status != DLF_OK) {
        const char *message = dlf_error_message();
        fprintf(stderr, "dlf: %s\n", *message ? message : dlf_status_text(status));
    }
    return dlf_status_exit_code(status);
}
