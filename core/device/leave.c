/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a device leaves, also one whose attach() failed:
 *   1. what others reach it through (regions, doorbells) is withdrawn, below it too;
 *   2. callbacks that run end, and every vCPU passes a quiet point: none holds an address of its RAM;
 *   3. detach(), and what it had claimed is released;
 *   4. a grace period: readers that found it before are through;
 *   5. its memory goes, on the main loop.
 * Nobody waits: 2 and 4 are continuations. When nothing is under way, 3 follows within the call, but not
 * within a reset, which walks over the tree. While the whole machine ends (its vCPUs stand), 2 is waited
 * for, without the machine lock.
 */
#include <glib.h>
#include <pthread.h>

#include <bp/command.h>
#include <bp/level.h>
#include <bp/loop.h>

#include "device.h"
#include "loop.h"
#include "memory.h"

struct bpc_leave {
    struct bpc_quiet quiet;
    struct bp_device *dev;
    struct bp_value *deleted; /* data of DEVICE_DELETED, or NULL: nobody is told */
    bool passed;              /* atomic: every vCPU has passed a quiet point */
    unsigned refs;            /* atomic: the list, and whoever waits for that */
    struct bpc_leave *next;
};

static struct bpc_leave *leaving; /* [main] */
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle_cond = PTHREAD_COND_INITIALIZER;

/* ---- 1 and 2: the device and everything below it ---- */

static void withdraw(struct bp_device *dev)
{
    bpc_owner_withdraw(&dev->obj.owner);
    for (struct bp_bus *bus = dev->buses; bus; bus = bus->next) {
        bpc_owner_withdraw(&bus->obj.owner);
        for (struct bp_device *child = bus->first; child; child = child->next)
            withdraw(child);
    }
    for (struct bp_object *part = dev->obj.first; part; part = part->next) {
        if (part->kind == BP_PROVIDE_DEVICE)
            withdraw((struct bp_device *)part);
    }
}

static bool busy(struct bp_device *dev)
{
    bool any = bpc_owner_busy(&dev->obj.owner);

    for (struct bp_bus *bus = dev->buses; bus; bus = bus->next) {
        any |= bpc_owner_busy(&bus->obj.owner);
        for (struct bp_device *child = bus->first; child; child = child->next)
            any |= busy(child);
    }
    for (struct bp_object *part = dev->obj.first; part; part = part->next) {
        if (part->kind == BP_PROVIDE_DEVICE)
            any |= busy((struct bp_device *)part);
    }
    return any;
}

/* Whether there is a detach() to come, its own, a level's or one below: it may take away what a vCPU holds. */
static bool detaches(struct bp_device *dev)
{
    bool any = dev->attached || dev->class_attached;

    for (unsigned i = 0; i < dev->obj.levels_attached; i++)
        any |= dev->obj.levels[i].class && dev->obj.levels[i].class->detach;
    for (struct bp_bus *bus = dev->buses; bus; bus = bus->next) {
        for (struct bp_device *child = bus->first; child; child = child->next)
            any |= detaches(child);
    }
    for (struct bp_object *part = dev->obj.first; part; part = part->next) {
        if (part->kind == BP_PROVIDE_DEVICE)
            any |= detaches((struct bp_device *)part);
    }
    return any;
}

/* ---- 3 to 5 ---- */

static void unref(void *opaque)
{
    bp_object_unref(opaque);
}

static void unref_later(void *opaque)
{
    bp_defer(NULL, unref, opaque);
}

static void leave_unref(struct bpc_leave *leave)
{
    if (__atomic_sub_fetch(&leave->refs, 1, __ATOMIC_ACQ_REL) == 0)
        g_free(leave);
}

/* Takes it off the list; the data of DEVICE_DELETED goes to the caller. */
static struct bp_value *forget(struct bpc_leave *leave)
{
    struct bpc_leave **link = &leaving;
    struct bp_value *deleted = leave->deleted;

    while (*link != leave)
        link = &(*link)->next;
    *link = leave->next;
    leave->dev->leave = NULL;
    leave_unref(leave);
    return deleted;
}

static void finish(struct bp_device *dev)
{
    struct bp_value *deleted = dev->leave ? forget(dev->leave) : NULL;

    bp_object_ref(&dev->obj);
    bp_object_destroy(&dev->obj);
    if (deleted)
        bp_event_send_named("DEVICE_DELETED", deleted);
}

static bool ready(struct bpc_leave *leave)
{
    return __atomic_load_n(&leave->passed, __ATOMIC_ACQUIRE) && !busy(leave->dev);
}

static void finish_later(struct bp_device *dev)
{
    finish(dev);
    bpc_grace_call(unref_later, &dev->obj);
}

static void look(void *opaque)
{
    struct bpc_leave *leave = leaving;

    (void)opaque;
    while (leave) {
        if (ready(leave)) {
            finish_later(leave->dev);
            leave = leaving; /* detach() may have taken others with it */
        } else {
            leave = leave->next;
        }
    }
}

static void passed(struct bpc_quiet *item)
{
    struct bpc_leave *leave = (struct bpc_leave *)item; /* its first member */

    __atomic_store_n(&leave->passed, true, __ATOMIC_RELEASE);
    leave_unref(leave);
    bp_defer(NULL, look, NULL);
}

static void owner_idle(void)
{
    pthread_mutex_lock(&idle_lock);
    pthread_cond_broadcast(&idle_cond);
    pthread_mutex_unlock(&idle_lock);
    bp_defer(NULL, look, NULL);
}

/* ---- the three ways ---- */

void bpc_device_leave(struct bp_device *dev, struct bp_value *deleted)
{
    struct bpc_leave *leave = g_new0(struct bpc_leave, 1);

    __atomic_store_n(&bpc_owner_idle_hook, owner_idle, __ATOMIC_RELEASE);
    leave->dev = dev;
    leave->deleted = deleted;
    leave->refs = 2;
    leave->next = leaving;
    leaving = leave;
    dev->leave = leave;
    bp_memory_begin();
    withdraw(dev);
    bp_memory_commit();
    if (detaches(dev)) {
        bpc_quiet_call(&leave->quiet, passed);
    } else { /* RAM looks after itself */
        leave->passed = true;
        leave_unref(leave);
    }
    if (!ready(leave))
        return;
    if (bpc_reset_under_way())
        bp_defer(NULL, look, NULL); /* who walks over the tree wants to go on from it */
    else
        finish_later(dev);
}

void bpc_device_leave_with_bridge(struct bp_device *dev)
{
    finish_later(dev);
}

void bpc_device_leave_now(struct bp_device *dev)
{
    unsigned depth;

    __atomic_store_n(&bpc_owner_idle_hook, owner_idle, __ATOMIC_RELEASE);
    bp_memory_begin();
    withdraw(dev);
    bp_memory_commit();
    if (busy(dev)) {
        depth = bpc_machine_unlock_all();
        pthread_mutex_lock(&idle_lock);
        while (busy(dev))
            pthread_cond_wait(&idle_cond, &idle_lock);
        pthread_mutex_unlock(&idle_lock);
        bpc_machine_relock(depth);
    }
    finish(dev);
}
