/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A folder of the host as a disk with a FAT file system (Microsoft, "FAT: General Overview of On-Disk Format", 1.03):
 * what the files of the module share. The disk is made up as it is read; nothing of it is ever written down.
 */
#ifndef BLOCK_VVFAT_H
#define BLOCK_VVFAT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <bp/host/block.h>

#define SECTOR 512u
#define ENTRY 32u              /* bytes of a folder's entry */
#define SHORT_NAME 11u
#define MOST_UNITS 255u        /* UTF-16 units of a long name */
#define MOST_ENTRIES 131072u   /* files and folders */
#define MOST_DEPTH 64u
#define MOST_FOLDER (65536u * ENTRY) /* bytes */
#define OPEN_FILES 8u

/* A file or a folder. Number 0 is the folder that is shown; what is in a folder lies together. */
struct item {
    char *name;     /* the host's; of number 0 NULL */
    uint32_t parent;
    bool folder;
    uint8_t short_name[SHORT_NAME];
    uint8_t long_entries; /* how many stand before the short one */
    uint32_t children, first_child;
    uint64_t size;  /* bytes: of a file; of a folder, of its entries */
    uint32_t first, clusters; /* 0, 0: nothing is allocated */
    time_t time;
    ino_t inode;
    dev_t device;
    uint8_t *entries; /* of a folder, `size` bytes */
};

struct tree {
    char *path;
    int fd; /* of the folder; O_PATH */
    struct item *items;
    uint32_t count, room;
    uint32_t left_out;
    char first_left_out[64]; /* its name, for messages */
};

struct geometry {
    unsigned bits; /* 12, 16, 32 */
    bool floppy;
    uint8_t media;
    char label[SHORT_NAME + 1];
    uint32_t serial;
    uint32_t heads, sectors_per_track;
    uint32_t start;        /* of the volume, in sectors of the disk */
    uint32_t reserved, fat_sectors, root_entries, per_cluster;
    uint32_t clusters, used; /* of data */
    uint64_t volume_sectors, disk_sectors;
};

struct open_file {
    int fd; /* -1: none */
    uint32_t item;
    uint64_t used; /* when; the oldest goes */
};

struct disk {
    struct tree tree;
    struct geometry g;
    uint32_t *runs; /* numbers of the items that have clusters, in the order of those */
    uint32_t run_count;
    pthread_mutex_t lock; /* of these */
    struct open_file files[OPEN_FILES];
    uint64_t clock;
};

/* ---- names.c ---- */
/* UTF-16 of UTF-8; -1: it is none, or FAT cannot have that name. */
int long_name(const char *name, uint16_t units[MOST_UNITS]);
/* The order of names that are one to FAT when they are equal. */
int name_order(const char *a, const char *b);
/* Gives all in a folder their short names; false: no memory. */
bool short_names(struct item *items, uint32_t count);
uint8_t short_checksum(const uint8_t name[SHORT_NAME]);

/* ---- tree.c ---- */
/* Looks at a folder and all below. */
int tree_scan(struct tree *t, const char *path, struct bp_error *err);
void tree_free(struct tree *t);
/* fd of a file or folder as it was when it was looked at, or -errno; never of what a symbolic link names. */
int tree_open(const struct tree *t, uint32_t item, int flags);

/* ---- layout.c ---- */
/* From the tree and what was asked for (g: bits or 0, floppy, label): everything's place. */
int layout_make(struct disk *d, struct bp_error *err);
int folders_make(struct disk *d, struct bp_error *err); /* their entries, once places are known */
/* A sector before the data; or whose cluster is free: zeroes. */
void layout_sector(const struct disk *d, uint64_t sector, uint8_t out[SECTOR]);
uint64_t data_start(const struct geometry *g); /* sectors, of the disk */
/* Number of the item that has this cluster, or UINT32_MAX. */
uint32_t layout_owner(const struct disk *d, uint32_t cluster);

#endif
