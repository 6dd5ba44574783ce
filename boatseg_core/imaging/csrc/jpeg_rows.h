/* From samples of Y, Cb and Cr, as blocks leave them, to rows of pixels: "fancy" upsampling of
 * chroma as in jdsample.c, colours as in jdcolor.c, both of libjpeg-turbo. */
#ifndef BOATSEG_JPEG_ROWS_H
#define BOATSEG_JPEG_ROWS_H

#include <stddef.h>
#include <string.h>

#include "fast.h"
#include "jpeg.h"

/* Samples of one component: of one row of MCUs, and the last row of the one before. */
typedef struct {
    uint8_t *samples;        /* [1 + rows, stride] */
    ptrdiff_t stride;
    ptrdiff_t side;          /* samples along a block as it is written, 4 or 8 */
    ptrdiff_t rows;          /* of a row of MCUs */
    ptrdiff_t first;         /* the first column that is kept */
    ptrdiff_t width, height; /* of the component, without what fills its last MCUs */
} Plane;

/* What it takes to make rows of pixels. */
typedef struct {
    Plane planes[3];
    int components;
    int across, down;        /* luma samples for one of chroma, each way: 1 or 2 */
    Box box;
    uint8_t *row[2];         /* chroma at the size of luma */
    uint16_t *sums;          /* of two rows of chroma; one more at each side */
} Rows;

/* Four bytes in memory, as a word: vectors store words better than bytes. */
#if BIG_ENDIAN_HOST
#define WORD(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))
#else
#define WORD(a, b, c, d) ((uint32_t)(d) << 24 | (uint32_t)(c) << 16 | (uint32_t)(b) << 8 | (a))
#endif

INLINE uint8_t in_byte(int16_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* (factor * value + 2^15) / 2^16, in 16 bits, of which vectors hold twice as many. */
INLINE int16_t scaled(int16_t value, int16_t factor)
{
    int product = value * factor;
    uint16_t low = (uint16_t)product;
    return (int16_t)((product >> 16) + (low >> 15));
}

/* ycc_rgb_convert; its factors in units of 2^-16, less the whole ones that do not fit 16 bits. */
INLINE void put_rgb(const uint8_t *restrict luma, const uint8_t *restrict blueness,
                    const uint8_t *restrict redness, ptrdiff_t n, int bytes, uint8_t *restrict to)
{
    for (ptrdiff_t x = 0; x < n; x++) {
        int16_t y = luma[x], cb = (int16_t)(blueness[x] - 128), cr = (int16_t)(redness[x] - 128);
        int16_t red = (int16_t)(y + cr + scaled(cr, 91881 - 65536));
        int16_t green = (int16_t)(y - cr + (int16_t)((-22554 * cb + 18734 * cr + 32768) >> 16));
        int16_t blue = (int16_t)(y + 2 * cb + scaled(cb, 116130 - 131072));
        if (bytes == 4) {
            uint32_t pixel = WORD(in_byte(red), in_byte(green), in_byte(blue), 255u);
            memcpy(to + 4 * x, &pixel, 4);
        } else {
            to[3 * x] = in_byte(red);
            to[3 * x + 1] = in_byte(green);
            to[3 * x + 2] = in_byte(blue);
        }
    }
}

INLINE void put_grey(const uint8_t *restrict luma, ptrdiff_t n, int bytes, uint8_t *restrict to)
{
    for (ptrdiff_t x = 0; x < n; x++) {
        memset(to + bytes * x, luma[x], 3);
        if (bytes == 4)
            to[bytes * x + 3] = 255;
    }
}

/* Two samples of each: the first leans to its left, the second to its right neighbour. */
INLINE void widen(const uint16_t *restrict sums, ptrdiff_t n, int left, int right, int shift,
                  uint8_t *restrict to)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        to[2 * i] = (uint8_t)((uint16_t)(3 * sums[i] + sums[i - 1] + left) >> shift);
        to[2 * i + 1] = (uint8_t)((uint16_t)(3 * sums[i] + sums[i + 1] + right) >> shift);
    }
}

/* Row y of a component, or the nearest one that the picture has. In the plane is the row of MCUs
 * that begins at row y0. */
INLINE const uint8_t *row_of(const Plane *plane, ptrdiff_t y, ptrdiff_t y0)
{
    y = y < 0 ? 0 : y >= plane->height ? plane->height - 1 : y;
    return plane->samples + (1 + y - y0) * plane->stride;
}

/* Chroma of row y of luma at luma's size, from the box's left edge on. */
static const uint8_t *chroma(const Rows *rows, int c, ptrdiff_t y, ptrdiff_t y0)
{
    const Plane *plane = &rows->planes[c];
    /* Of chroma: where the box begins, and how much it takes. */
    const ptrdiff_t left = rows->box.left, end = left + rows->box.width;
    const ptrdiff_t from = left / rows->across, n = (end + rows->across - 1) / rows->across - from;
    const ptrdiff_t at = from - plane->first;
    const int upper = rows->down == 2 && y % 2 == 0;
    uint8_t *restrict to = rows->row[c - 1];
    const uint8_t *restrict near = row_of(plane, y / rows->down, y0) + at;
    const uint8_t *restrict far = near;
    if (rows->down == 2)
        far = row_of(plane, y / 2 + (upper ? -1 : 1), y0) + at;
    if (rows->across == 1) {
        if (rows->down == 1)
            return near;
        for (ptrdiff_t i = 0; i < n; i++)
            to[i] = (uint8_t)((3 * near[i] + far[i] + (upper ? 1 : 2)) >> 2);
        return to;
    }
    const ptrdiff_t before = from > 0, after = from + n < plane->width; /* neighbours */
    uint16_t *restrict sums = rows->sums + 1;
    if (rows->down == 2)
        for (ptrdiff_t i = -before; i < n + after; i++)
            sums[i] = (uint16_t)(3 * near[i] + far[i]);
    else
        for (ptrdiff_t i = -before; i < n + after; i++)
            sums[i] = near[i];
    if (!before)
        sums[-1] = sums[0];
    if (!after)
        sums[n] = sums[n - 1];
    if (rows->down == 2)
        widen(sums, n, 8, 7, 4, to);
    else
        widen(sums, n, 1, 2, 2, to);
    return to + left % 2;
}

/* Write the pixels of row y of the box. In the planes is the row of MCUs, of each component from
 * row y0[c] on, that holds it and its neighbours. */
static void put_row(const Rows *rows, ptrdiff_t y, const ptrdiff_t y0[3], uint8_t *to, int bytes)
{
    const Plane *plane = &rows->planes[0];
    const uint8_t *luma = row_of(plane, y, y0[0]) + (rows->box.left - plane->first);
    if (rows->components == 1) {
        put_grey(luma, rows->box.width, bytes, to);
        return;
    }
    const uint8_t *blueness = chroma(rows, 1, y, y0[1]), *redness = chroma(rows, 2, y, y0[2]);
    if (bytes == 3)
        put_rgb(luma, blueness, redness, rows->box.width, 3, to);
    else
        put_rgb(luma, blueness, redness, rows->box.width, 4, to);
}

#endif
