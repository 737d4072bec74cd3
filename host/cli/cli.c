/* SPDX-License-Identifier: MIT
 * cli.c -- which subcommand, and the rules that hold for all of them. */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "cli/commands.h"
#include "experiments/nearest.h"
#include "git_hash.h"

const cli_command *const cli_commands[] = {&cli_list,    &cli_run,    &cli_plot,
                                           &cli_explain, &cli_bench,  &cli_compare,
                                           &cli_report,  &cli_doctor, NULL};

static const cli_command *find_command(const char *name)
{
    for (int i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
    return NULL;
}

/* Names that the design has and this version has not get an honest answer, not a spelling hint. */
static dlf_status unknown_command(const char *typed)
{
    static const char *const later[] = {"diagnose", "verify"};
    for (int i = 0; i < 2; i++)
        if (strcmp(typed, later[i]) == 0)
            return dlf_fail(DLF_ERR_NOT_FOUND,
                            "'%s' is not in this version, which has list, run, plot, "
                            "explain, bench, compare, report, doctor, help",
                            typed);
    const char *names[16] = {NULL};
    int n = 0;
    for (; cli_commands[n]; n++) names[n] = cli_commands[n]->name;
    names[n] = "help";
    char hint[256];
    return dlf_fail(DLF_ERR_NOT_FOUND, "there is no command '%.40s'%s", typed,
                    dlf_nearest(hint, sizeof hint, typed, names));
}

/* Asking for help is answered even on a line that is wrong otherwise. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static dlf_status run_command(const cli_command *command, int argc, char **argv)
{
    char name[32];
    snprintf(name, sizeof name, "dlf %s", command->name);
    cli_args args;
    cli_language language;
    dlf_status status = cli_args_parse(&args, name, command->flags, argc - 2, argv + 2);
    if (asks_for_help(argc, argv)) {
        status = cli_language_of(&language, &args);
        if (status != DLF_OK) status = cli_language_of(&language, NULL);
        cli_print_help(stdout, command, &language);
        goto done;
    }
    if (status != DLF_OK) goto done;
    DLF_TRY_DONE(cli_language_of(&language, &args));
    const cli_call call = {.args = &args, .language = &language, .argc = argc, .argv = argv};
    status = command->run(&call);
done:
    cli_args_free(&args);
    return status;
}

static dlf_status print_help(int argc, char **argv, const cli_language *language)
{
    if (argc < 3) {
        cli_print_overview(stdout, language);
        return DLF_OK;
    }
    const cli_command *command = find_command(argv[2]);
    if (!command) return unknown_command(argv[2]);
    cli_print_help(stdout, command, language);
    return DLF_OK;
}

static dlf_status dispatch(int argc, char **argv)
{
    cli_language language;
    DLF_TRY(cli_language_of(&language, NULL));
    const char *word = argc > 1 ? argv[1] : "help";
    if (strcmp(word, "help") == 0) return print_help(argc, argv, &language);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return print_help(1, argv, &language);
    if (strcmp(word, "--version") == 0) {
        printf("dlf %s (%s)\n", DLF_VERSION, DLF_GIT);
        return DLF_OK;
    }
    const cli_command *command = find_command(word);
    if (command) return run_command(command, argc, argv);
    if (word[0] == '-')
        return dlf_fail(DLF_ERR_NOT_FOUND,
                        "'%.40s' is no flag of dlf itself (those are --help and --version); flags "
                        "of a command go behind it",
                        word);
    return unknown_command(word);
}

/* Has the reader of our pipe gone? */
static bool reader_is_gone(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

/* A reader that has seen enough (`dlf list | head`) is no error; a full disk behind stdout is. */
static dlf_status flush_stdout(void)
{
    errno = 0;
    const int failed = fflush(stdout) != 0 || ferror(stdout);
    if (!failed || errno == EPIPE || reader_is_gone()) return DLF_OK;
    return dlf_fail(DLF_ERR_OUTPUT, "standard output cannot be written: %s",
                    errno ? strerror(errno) : "an earlier write failed");
}

dlf_status dlf_cli(int argc, char **argv)
{
    /* Writes into a closed pipe or beyond a size limit then fail with a status, and what is being
     * computed still gets stored. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    const dlf_status status = dispatch(argc, argv);
    if (status != DLF_OK) {
        (void)!fflush(stdout); /* what was printed stays in front of the message */
        return status;
    }
    return flush_stdout();
}
