/* Restart intervals without their byte stuffing (ITU-T T.81, annex B.1.1.5). */
#include "jpeg_scan.h"

#include <stdlib.h>

enum {
    MOST_BLOCKS = 6, /* of an MCU */
    /* What the largest MCU can read beyond the data before that is noticed: zeros stand there. */
    SLACK = MOST_BLOCKS * (COEFFICIENTS * 26 + 27) / 8 + 64
};

int open_scan(Scan *scan, const uint8_t *data, size_t size, const JpegHeader *header,
              const Codes *const dc[3], const Codes *const ac[3])
{
    int width = BLOCK_SIDE * header->across, height = BLOCK_SIDE * header->down;
    memset(scan, 0, sizeof *scan);
    scan->header = header;
    scan->dc = dc;
    scan->ac = ac;
    scan->across = (size_t)((header->width + width - 1) / width);
    scan->mcus = scan->across * (size_t)((header->height + height - 1) / height);
    scan->data = data + header->scan;
    scan->size = size - header->scan;
    scan->bytes = malloc(scan->size + SLACK);
    return scan->bytes != NULL;
}

void close_scan(Scan *scan)
{
    free(scan->bytes);
}

/* Copy the data up to the next marker without the zeros stuffed into it. Returns the marker, 0 if
 * there is none. */
static int unstuff(Scan *scan)
{
    uint8_t *to = scan->bytes;
    for (;;) {
        const uint8_t *found = scan->size ? memchr(scan->data, 0xff, scan->size) : NULL;
        size_t whole = found ? (size_t)(found - scan->data) : 0;
        if (!found || scan->size - whole < 2)
            return 0;
        int after = found[1];
        memcpy(to, scan->data, whole);
        to += whole;
        scan->data += whole + 2;
        scan->size -= whole + 2;
        if (after == 0) {
            *to++ = 0xff;
            continue;
        }
        memset(to, 0, SLACK);
        scan->end = to;
        return after;
    }
}

int begin_interval(Scan *scan)
{
    size_t interval = (size_t)scan->header->restart_interval;
    scan->from = scan->to;
    scan->to = interval && scan->mcus - scan->from > interval ? scan->from + interval : scan->mcus;
    scan->bits = (Bits){0, 0, scan->bytes};
    memset(scan->last_dc, 0, sizeof scan->last_dc);
    return unstuff(scan) == (scan->to == scan->mcus ? 0xd9 : 0xd0 + (int)(scan->restarts++ & 7));
}

int end_interval(const Scan *scan)
{
    ptrdiff_t left = 8 * (scan->end - scan->bits.at) + (ptrdiff_t)(scan->bits.have & 63);
    return left >= 0 && left < 8;
}
