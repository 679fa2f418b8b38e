/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets of gdb's remote serial protocol (its manual, appendix E.1): "$data#checksum", acknowledged by '+'
 * or '-' until both sides agree not to; 0x03 outside a packet is an interrupt.
 */
#ifndef GDB_PACKET_H
#define GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_SIZE 0x4000 /* of the data; told to the client */

struct packet_reader {
    enum { PACKET_OUTSIDE, PACKET_DATA, PACKET_SUM1, PACKET_SUM2 } state;
    bool escaped;
    bool too_long;
    uint8_t sum, told; /* of the bytes; what the client says */
    size_t length;
    char data[PACKET_SIZE + 1]; /* a NUL follows; there may be others before */
};

enum packet_event { PACKET_NONE, PACKET_COMPLETE, PACKET_BAD, PACKET_INTERRUPT, PACKET_ACK, PACKET_NAK };
enum packet_event packet_input(struct packet_reader *r, uint8_t byte);

/* ---- making one: bounded; what does not fit is left out and noted ---- */
struct packet_writer {
    size_t length;
    bool full;
    char data[2 * PACKET_SIZE + 64]; /* escapes included */
};
void packet_begin(struct packet_writer *w);
void packet_text(struct packet_writer *w, const char *text);
void packet_number(struct packet_writer *w, uint64_t value); /* hexadecimal */
void packet_hex(struct packet_writer *w, const void *bytes, size_t n);
void packet_binary(struct packet_writer *w, const void *bytes, size_t n);
void packet_end(struct packet_writer *w); /* data[0..length) is what goes out */

/* ---- reading data ---- */
/* Hexadecimal number; false: there is none, or it is too large. */
bool take_number(const char **text, uint64_t *ret_value);
bool take_char(const char **text, char c);
/* Two digits a byte. Returns the bytes read, at most `size`. */
size_t take_hex(const char **text, uint8_t *ret_bytes, size_t size);

#endif
