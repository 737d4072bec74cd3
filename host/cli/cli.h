/* SPDX-License-Identifier: MIT
 * cli.h -- the command line of dlf. */
#ifndef DLF_CLI_H
#define DLF_CLI_H
#include "dlf/status.h"

/* Do what argv says: results on stdout, progress and warnings on stderr. A status other than DLF_OK
 * is for main() to explain. */
DLF_MUST_CHECK dlf_status dlf_cli(int argc, char **argv);

#endif
