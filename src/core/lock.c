/* Reads the kernel's table of locks. */
#include "core/lock.h"

#include <stdio.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#endif

#ifdef __linux__
long lock_holder(int fd)
{
    struct stat locked;
    long holder = 0, pid;
    char line[256];
    unsigned major_part, minor_part;
    unsigned long long inode;
    FILE *locks = fstat(fd, &locked) ? NULL : fopen("/proc/locks", "re");
    while (locks && !holder && fgets(line, sizeof line, locks))
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &major_part, &minor_part,
                   &inode) == 4 &&
            pid > 0 && inode == locked.st_ino && makedev(major_part, minor_part) == locked.st_dev)
            holder = pid;
    if (locks) fclose(locks);
    return holder;
}
#else
long lock_holder(int fd)
{
    (void)fd;
    return 0;
}
#endif
