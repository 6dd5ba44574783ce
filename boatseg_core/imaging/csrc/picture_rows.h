/* Rows of pixels, as words and as sums. */
#ifndef BOATSEG_PICTURE_ROWS_H
#define BOATSEG_PICTURE_ROWS_H

#include "fast.h"
#include "picture.h"

/* Pixels and sums are loaded as one word each, which compilers vectorise better than bytes. */
#if BIG_ENDIAN_HOST
#define BYTE_OF(word, i) ((word) >> (24 - 8 * (i)) & 0xff)
#define LANE_OF(word, i) ((int)((word) >> (48 - 16 * (i)) & 0xffff))
#else
#define BYTE_OF(word, i) ((word) >> (8 * (i)) & 0xff)
#define LANE_OF(word, i) ((int)((word) >> (16 * (i)) & 0xffff))
#endif

/* Start or add to a sum of rows, four rows at a time. */
FAST static void add_four(const uint8_t *restrict a, const uint8_t *restrict b,
                          const uint8_t *restrict c, const uint8_t *restrict d,
                          uint16_t *restrict total, ptrdiff_t n, int start)
{
    if (start)
        for (ptrdiff_t x = 0; x < n; x++)
            total[x] = (uint16_t)(a[x] + b[x] + c[x] + d[x]);
    else
        for (ptrdiff_t x = 0; x < n; x++)
            total[x] = (uint16_t)(total[x] + a[x] + b[x] + c[x] + d[x]);
}

/* Add the saturations of n rows of w pixels of 4 bytes; for `colour` and `block` 4 * w numbers. */
void add_saturation(const uint8_t *const rows[TILE], ptrdiff_t n, ptrdiff_t w, uint16_t *colour,
                    uint16_t *block, Sums *sums);

#endif
