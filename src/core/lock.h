/* Who holds the lock of a file (flock).  Reads what the system tells; takes no lock. */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

/* The process that holds the lock of an open file; 0 where the system does not tell. */
long lock_holder(int fd);

#endif
