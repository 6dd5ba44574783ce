/* The coded data of a JPEG, one restart interval at a time. */
#ifndef BOATSEG_JPEG_SCAN_H
#define BOATSEG_JPEG_SCAN_H

#include "jpeg.h"
#include "jpeg_bits.h"

typedef struct {
    const JpegHeader *header;
    const Codes *const *dc, *const *ac;
    size_t across, mcus;  /* MCUs of a row, and of all */
    size_t from, to;      /* MCUs of the interval */
    int last_dc[3];
    Bits bits;            /* of the interval */
    const uint8_t *end;   /* of its bytes */
    uint8_t *bytes;       /* data without stuffing */
    const uint8_t *data;  /* what is left of it */
    size_t size;
    unsigned restarts;
} Scan;

/* 0: no memory. */
int open_scan(Scan *scan, const uint8_t *data, size_t size, const JpegHeader *header,
              const Codes *const dc[3], const Codes *const ac[3]);
void close_scan(Scan *scan);

/* Go to the next interval; there is one as long as to < mcus. 0: not clean. */
int begin_interval(Scan *scan);

/* Whether nothing is left of an interval that was read but what fills its last byte. */
int end_interval(const Scan *scan);

/* Whether more was read than the interval holds: asked after every MCU. */
INLINE int beyond(const Bits *bits, const uint8_t *end)
{
    return bits->at - (bits->have & 63) / 8 > end;
}

#endif
