/* impl.h - what the files of the supervisor share. */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/control.h"
#include "net/tls.h"
#include "proto/session.h"
#include "supervisor/supervisor.h"

#define PATIENCE     SECONDS(5)  /* for a predecessor that is just ending: its lock, its ports (DESIGN section 9) */
#define FIRST_TRIES  6           /* crashes of a role before `ready` said so: then it never will */
#define RETRY        50u         /* milliseconds between two looks whether it has ended */

struct port {
    int fd;
    enum service service;
    enum role role;              /* who accepts there */
};

struct supervisor;

/* A seat for one process: it stays when the process dies and another takes its place. */
struct child {
    struct list node;
    struct supervisor *supervisor;
    enum role role;
    uint8_t worker;
    pid_t pid;                   /* 0: none */
    struct control *control;     /* NULL: none */
    uv_timer_t timer;            /* of the next start, or of the end of one that hung up */
    uint64_t starts;
    unsigned crashes;            /* in a row */
    unsigned unready;            /* of these the last, that ended before they were ready */
    bool served;                 /* it is, or was, ready */
    msec started;
    bool ready, in_force;
    bool joined, has_signer;     /* to the keeper, as far as it said */
    bool untold;                 /* something that it needs could not be given to it */
    bool failed;                 /* it said that it cannot run */
    bool retiring;               /* the seat goes with it */
};

struct supervisor {
    struct loop loop;
    const struct supervisor_plan *plan;
    pid_t pid;
    struct arena arena;          /* behind boot's slices */
    struct boot boot;            /* what all roles together are told */
    struct settings *settings;
    char tickets[2][TLS_TICKET_KEY]; /* of pool mx and of pool user: no pool can read the other's */
    struct list children;
    struct port *ports;
    size_t port_count;
    struct buf ports_wanted;     /* the settings that they were opened with */
    int run, lock, command_line; /* DIR/run, its lock, the command line's socket */
    int nowhere;                 /* /dev/null */
    uv_signal_t signals[4];
    uv_timer_t stop_timer, ticket_timer;
    msec stopped;                /* when the stop began */
    unsigned step;               /* of the stop */
    bool is_ready, reloading, stopping;
    int exit_status;
};

/* folder.c: DIR/run.  Each prints its one line on failure. */
MUST_USE enum status folder_open(struct supervisor *s);
void folder_close(struct supervisor *s);
void folder_put_pid(struct supervisor *s, const char *name, pid_t pid);
void folder_drop_pid(struct supervisor *s, const char *name);

/* listen.c */
MUST_USE enum status ports_open(struct supervisor *s);
void ports_close(struct supervisor *s);
bool ports_are_others(const struct supervisor *s);  /* the settings in force ask for others than those that are open */

/* child.c */
struct child *child_open(struct supervisor *s, enum role role);  /* takes the first free number of the pool; starts nothing */
void child_start(struct child *child);
void child_tell(struct child *child, enum control_kind kind);
void child_boot(struct child *child);                            /* hands it the boot message that is in force now */
void child_ended(struct child *child, int status);               /* as waitpid() says it; the child may be gone afterwards */
void child_forget(struct child *child);                          /* closes the seat of a process that is gone */
void child_kill(struct child *child, const char *why);

/* supervisor.c: what a child said */
void supervisor_heard(struct child *child, enum control_kind kind, enum role role, uint8_t worker);
void supervisor_stop(struct supervisor *s, int exit_status);
