/* Runs a fuzz target over the files of a folder, without libFuzzer, so that every past finding is
 * tried in every build.  Prints one line of TAP a file.  Owns nothing; may use nothing of
 * breakeven.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns 0 after the target came back, 1 if the file could not be read. */
static int replay_file(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &status) != 0) {
        if (file) fclose(file);
        return 1;
    }
    size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size ? size : 1);
    int failed = !data || fread(data, 1, size, file) != size;
    fclose(file);
    if (!failed) LLVMFuzzerTestOneInput(data, size);
    free(data);
    return failed;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER; expected a readable folder, found %s\n", argv[0],
                argc == 2 ? argv[1] : "no argument");
        return 2;
    }
    int count = 0;
    int failures = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        int failed = replay_file(path);
        printf("%s %d - %s\n", failed ? "not ok" : "ok", ++count, entry->d_name);
        fflush(stdout);
        failures += failed;
    }
    closedir(folder);
    printf("1..%d\n", count);
    return failures > 0 || count == 0;
}
