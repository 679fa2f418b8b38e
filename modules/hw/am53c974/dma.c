// SPDX-License-Identifier: LGPL-2.1-or-later
/* The Am53C974's DMA engine: counts and addresses, and lists of pages (MDL). */
#include "pcscsi.h"

#define PAGE 4096u

static uint32_t position(struct pcscsi *s)
{
    return *pcscsi_dma(s, D_STC) - *pcscsi_dma(s, D_WBC);
}

bool pcscsi_dma_is_on(struct pcscsi *s)
{
    return (*pcscsi_dma(s, D_COMMAND) & 3) == DC_START;
}

static void start(struct pcscsi *s)
{
    *pcscsi_dma(s, D_STC) &= 0xffffff;
    *pcscsi_dma(s, D_WBC) = *pcscsi_dma(s, D_STC);
    *pcscsi_dma(s, D_WAC) = *pcscsi_dma(s, D_SPA);
    *pcscsi_dma(s, D_WMAC) = *pcscsi_dma(s, D_SMDLA);
    *pcscsi_dma(s, D_STATUS) &= (uint32_t)~(DS_BCMPLT | DS_DONE | DS_ABORT | DS_ERROR);
    pcscsi_go_on(s);
}

void pcscsi_dma_command(struct pcscsi *s, uint8_t value)
{
    *pcscsi_dma(s, D_COMMAND) = value;
    switch (value & 3) {
    case DC_START:
        start(s);
        break;
    case DC_BLAST: /* nothing is left in the FIFO */
        *pcscsi_dma(s, D_STATUS) |= DS_BCMPLT;
        break;
    case DC_ABORT:
        *pcscsi_dma(s, D_STATUS) |= DS_ABORT;
        break;
    default:
        break;
    }
    pcscsi_update(s);
}

uint32_t pcscsi_dma_room(struct pcscsi *s, uint32_t length)
{
    uint32_t room = *pcscsi_dma(s, D_WBC);

    return length < room ? length : room;
}

/* The address of the byte at `at`, and how many follow it there. */
static bool locate(struct pcscsi *s, uint32_t at, uint32_t *ret_address, uint32_t *ret_length)
{
    uint32_t address = *pcscsi_dma(s, D_SPA), offset = (address & (PAGE - 1)) + at;
    uint8_t entry[4];

    if (!(*pcscsi_dma(s, D_COMMAND) & DC_MDL)) {
        *ret_address = address + at;
        *ret_length = UINT32_MAX;
        return true;
    }
    *pcscsi_dma(s, D_WMAC) = *pcscsi_dma(s, D_SMDLA) + offset / PAGE * 4;
    if (pcscsi_pci->dma_read(s->dev, *pcscsi_dma(s, D_WMAC), entry, 4) < 0)
        return false;
    address = (entry[0] | (uint32_t)entry[1] << 8 | (uint32_t)entry[2] << 16 | (uint32_t)entry[3] << 24) & ~(PAGE - 1);
    *ret_address = address + offset % PAGE;
    *ret_length = PAGE - offset % PAGE;
    return true;
}

bool pcscsi_dma_move(struct pcscsi *s, void *data, uint32_t length, bool to_memory)
{
    uint32_t done = 0, begin = position(s);

    while (done < length) {
        uint32_t address = 0, n;

        if (!locate(s, begin + done, &address, &n))
            break;
        n = n < length - done ? n : length - done;
        if ((to_memory ? pcscsi_pci->dma_write(s->dev, address, (uint8_t *)data + done, n)
                       : pcscsi_pci->dma_read(s->dev, address, (uint8_t *)data + done, n)) < 0)
            break;
        done += n;
    }
    if (done == length)
        return true;
    bp_guest_error("am53c974-dma", "am53c974: DMA failed: the function is no bus master, or nothing is there");
    *pcscsi_dma(s, D_COMMAND) &= ~3u;
    *pcscsi_dma(s, D_STATUS) |= DS_ERROR;
    pcscsi_update(s);
    return false;
}

void pcscsi_dma_advance(struct pcscsi *s, uint32_t length)
{
    *pcscsi_dma(s, D_WBC) -= length;
    *pcscsi_dma(s, D_WAC) += length;
}
