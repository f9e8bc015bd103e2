/* See cgroup.h. */
#include "core/cgroup.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 8192 /* a mount of many layers has a long one */
#define PATH 4096
#define V1_MEMORY_NONE ((int64_t)1 << 62) /* version 1 has a number for "no limit", about 2^63 */

/* Where a controller's groups are: version 2 has one tree for all, version 1 one for each. */
typedef struct tree {
    const char *root;
    const char *controller; /* of version 1; NULL: version 2 */
    char group[PATH];       /* the process's, as /proc/self/cgroup has it; "" none */
} tree;

static FILE *open_under(const char *root, const char *path)
{
    char whole[PATH];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    return length < (int)sizeof whole ? fopen(whole, "re") : NULL;
}

/* The next line without its end; one that does not fit is left out. */
static bool next_line(FILE *file, char line[LINE])
{
    while (file && fgets(line, LINE, file)) {
        size_t length = strlen(line);
        if (length && line[length - 1] == '\n') {
            line[length - 1] = 0;
            return true;
        }
        if (feof(file)) return length > 0;
        int c;
        while ((c = fgetc(file)) != EOF && c != '\n') continue;
    }
    return false;
}

/* Is `word` one of the words between commas? */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == 0)) return true;
    }
    return false;
}

/* "4:cpu,cpuacct:/a/b", and "0::/a/b" for version 2. */
static void find_group(tree *t)
{
    char line[LINE];
    FILE *file = open_under(t->root, "/proc/self/cgroup");
    while (!t->group[0] && next_line(file, line)) {
        char *controllers = strchr(line, ':'), *path = NULL;
        if (controllers) path = strchr(++controllers, ':');
        if (!path || path[1] != '/') continue;
        *path++ = 0;
        bool ours = t->controller ? has_word(controllers, t->controller) : *controllers == 0;
        if (ours) snprintf(t->group, sizeof t->group, "%.*s", PATH - 1, path);
    }
    if (file) fclose(file);
}

/* mountinfo writes blanks and the like as \040. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        bool octal = from[0] == '\\' && strspn(from + 1, "01234567") >= 3;
        *to++ = octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + from[3] - '0') : *from;
        from += octal ? 4 : 1;
    }
    *to = 0;
}

/* A line of /proc/self/mountinfo: "36 35 0:30 /ROOT /POINT options … - type source options". */
typedef struct mount {
    char *root, *point, *type, *options;
} mount;

static bool split_mount(char *line, mount *out)
{
    char *rest = strstr(line, " - "), *save = NULL, *words[5] = {0};
    if (!rest) return false;
    *rest = 0;
    int count = 0;
    for (char *w = strtok_r(line, " ", &save); w && count < 5; w = strtok_r(NULL, " ", &save))
        words[count++] = w;
    out->type = strtok_r(rest + 3, " ", &save);
    (void)strtok_r(NULL, " ", &save);
    out->options = strtok_r(NULL, " ", &save);
    if (count < 5 || !out->type || !out->options) return false;
    out->root = words[3];
    out->point = words[4];
    unescape(out->root);
    unescape(out->point);
    return true;
}

static bool is_mount_of(const mount *m, const tree *t)
{
    if (!t->controller) return strcmp(m->type, "cgroup2") == 0;
    return strcmp(m->type, "cgroup") == 0 && has_word(m->options, t->controller);
}

/* The group's place below the mount.  A mount that shows another part of the tree (a container
 * without a namespace of its own, a mount from outside of it) shows the group itself at its top, or
 * one above it. */
static const char *below(const char *group, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool inside = strncmp(group, root, length) == 0 && (group[length] == '/' || !group[length]);
    return inside && !strstr(group, "/..") ? group + length : "";
}

/* The folder of the process's group ("" without one), and how long that of the mount is. */
static size_t find_folder(const tree *t, char out[PATH])
{
    char line[LINE];
    mount m;
    size_t top = 0;
    *out = 0;
    FILE *file = t->group[0] ? open_under(t->root, "/proc/self/mountinfo") : NULL;
    while (!*out && next_line(file, line)) {
        if (!split_mount(line, &m) || !is_mount_of(&m, t)) continue;
        int length = snprintf(out, PATH, "%s%s", m.point, below(t->group, m.root));
        if (length >= PATH) *out = 0;
        top = strlen(m.point);
        while (length > (int)top && *out && out[length - 1] == '/') out[--length] = 0;
    }
    if (file) fclose(file);
    return top;
}

/* Two numbers of a file of a group; how many there are ("max" is none). */
static int read_numbers(const tree *t, const char *folder, const char *name, double out[2])
{
    char path[PATH + 64], line[LINE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = open_under(t->root, path);
    int count = next_line(file, line) ? sscanf(line, "%lf %lf", &out[0], &out[1]) : 0;
    if (file) fclose(file);
    return count < 0 ? 0 : count;
}

static double quota_of(const tree *t, const char *folder)
{
    double quota[2] = {NAN, NAN}, period[2] = {NAN, NAN};
    bool is_known;
    if (t->controller) {
        is_known = read_numbers(t, folder, "cpu.cfs_quota_us", quota) >= 1 &&
                   read_numbers(t, folder, "cpu.cfs_period_us", period) >= 1;
    } else {
        is_known = read_numbers(t, folder, "cpu.max", quota) == 2;
        period[0] = quota[1];
    }
    double processors = quota[0] / period[0];
    return is_known && quota[0] > 0 && period[0] > 0 && isfinite(processors) ? processors
                                                                             : (double)NAN;
}

static double memory_of(const tree *t, const char *folder)
{
    double numbers[2] = {NAN, NAN};
    const char *name = t->controller ? "memory.limit_in_bytes" : "memory.max";
    bool is_known = read_numbers(t, folder, name, numbers) >= 1;
    return is_known && numbers[0] >= 1 && numbers[0] < (double)V1_MEMORY_NONE ? numbers[0]
                                                                              : (double)NAN;
}

/* The least of all groups from the process's own up; NAN without one. */
static double tightest(const char *root, const char *controller,
                       double (*limit)(const tree *, const char *))
{
    tree t = {.root = root, .controller = controller};
    char folder[PATH];
    double least = NAN;
    find_group(&t);
    size_t top = find_folder(&t, folder);
    while (folder[0]) {
        least = fmin(least, limit(&t, folder));
        char *end = strrchr(folder, '/');
        if (strlen(folder) <= top || !end) break;
        *end = 0;
    }
    return least;
}

cgroup_limits cgroup_read(const char *root)
{
    double bytes = fmin(tightest(root, NULL, memory_of), tightest(root, "memory", memory_of));
    return (cgroup_limits){
        .processors = fmin(tightest(root, NULL, quota_of), tightest(root, "cpu", quota_of)),
        .memory_bytes = isnan(bytes) ? -1 : (int64_t)bytes};
}

int cgroup_threads(int cores, double processors)
{
    if (!(processors < cores)) return cores;
    return processors < 1 ? 1 : (int)processors;
}

int cgroup_thread_counts(int usual, int cores, int out[CGROUP_THREAD_COUNTS])
{
    int count = 0;
    out[count++] = usual;
    if (cores > usual) out[count++] = cores;
    if (usual > 1) out[count++] = 1;
    return count;
}
