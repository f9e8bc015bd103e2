/* breakeven serve: the page in the browser. */
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "core/file.h"
#include "serve/serve.h"

extern char **environ;

/* The desktop's own choice of a browser.  It outlives this program, and what it says is no result.
 */
static void open_browser(const cli_options *options, const char *address)
{
#ifdef __APPLE__
    const char *opener = "open";
#else
    const char *opener = "xdg-open";
#endif
    const char *const argv[] = {opener, address, NULL};
    pid_t pid;
    int problem = posix_spawnp(&pid, opener, NULL, NULL, (char *const *)argv, environ);
    if (problem)
        cli_note(options, "--open: expected the program %s, found '%s'; open the address yourself",
                 opener, strerror(problem));
}

static be_status serve_here(const cli_options *options, serve *s, be_error *err)
{
    char address[256];
    fprintf(cli_results, "%s\n", serve_address(s, false, address));
    fflush(cli_results); /* main tells if that failed */
    cli_note(options, "serving until Ctrl-C; the address lets whoever has it in");
    if (options->value[OPTION_OPEN].is_given)
        open_browser(options, serve_address(s, true, address));
    be_status status = serve_run(s, err);
    /* To be ended by a signal is how it ends well. */
    if (status == BE_INTERRUPTED) err->text[0] = 0;
    return status;
}

be_status cmd_serve(const cli_options *options, be_error *err)
{
    const option_value *values = options->value;
    char program[FILE_PATH_BYTES];
    serve *s = NULL;
    TRY(file_own_program(program, err));
    serve_options server_options = {
        .program = program,
        .port = values[OPTION_PORT].is_given ? (int)values[OPTION_PORT].integer : SERVE_PORT,
        .listen = values[OPTION_LISTEN].text,
        .token = values[OPTION_TOKEN].text,
        .stop = &cli_signal};
    TRY(serve_open(&s, &server_options, err));
    be_status status = serve_here(options, s, err);
    serve_close(s);
    return status;
}
