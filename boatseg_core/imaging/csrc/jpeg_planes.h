/* The picture at 1/8, as its blocks come: libjpeg's reduced inverse transforms and colours. */
#ifndef BOATSEG_JPEG_PLANES_H
#define BOATSEG_JPEG_PLANES_H

#include "fast.h"
#include "jpeg.h"

enum {
    ODD_SIDE = 5,                        /* rows 0, 1, 3, 5, 7 of a block; its columns likewise */
    LANES = 8,                           /* places of a row, for the sake of vectors */
    KEPT_PLACES = (ODD_SIDE + 1) * LANES /* the last row takes what is not used */
};

/* What coefficients are multiplied with, and where a 2 x 2 picture wants them; in zigzag order. */
typedef struct {
    int16_t step[COEFFICIENTS];
    uint8_t place[COEFFICIENTS];
} Steps;

typedef struct {
    uint8_t *values[3];   /* of Y, Cb, Cr: whole MCUs */
    size_t stride[3];
} Planes;

void set_steps(const uint8_t quant[COEFFICIENTS], Steps *steps);
int open_planes(Planes *planes, const JpegHeader *header, size_t across, size_t down);
void close_planes(Planes *planes);

/* Write planes of red, green and blue: jdcolor.c, and for chroma of half the size in one direction
 * the plain repetition of jdsample.c. */
void put_colours(const Planes *planes, const JpegHeader *header, uint8_t *out);

/* Put a transformed value (of a mean alone: jpeg_idct_1x1) into range. 0: so far outside of it that libjpeg's C and its
 * SIMD code differ. */
INLINE int put_value(int value, uint8_t *to)
{
    *to = (uint8_t)(value < -128 ? 0 : value > 127 ? 255 : value + 128);
    return value >= -512 && value < 512;
}

/* jpeg_idct_2x2 of jidctred.c: factors are sqrt(2) times sums of cosines, in units of 2^-13. */
INLINE int put_quarters(const int kept[KEPT_PLACES], uint8_t *to, size_t stride)
{
    enum { MOST = 2047 }; /* beyond it, sums leave 32 bits here and 16 bits in libjpeg's SIMD */
    int high[LANES], low[LANES], odd = 0;
    for (int i = 0; i < ODD_SIDE * LANES; i++)
        odd |= kept[i] < -MOST || kept[i] > MOST;
    if (odd)
        return 0;
    for (int i = 0; i < LANES; i++) {
        int even = kept[i] * 32768;
        int wave = 29692 * kept[LANES + i] - 10426 * kept[2 * LANES + i] +
                   6967 * kept[3 * LANES + i] - 5906 * kept[4 * LANES + i];
        high[i] = (even + wave + (1 << 12)) >> 13;
        low[i] = (even - wave + (1 << 12)) >> 13;
    }
    int even = high[0] * 32768;
    int wave = 29692 * high[1] - 10426 * high[2] + 6967 * high[3] - 5906 * high[4];
    int good = put_value((even + wave + (1 << 19)) >> 20, to) &
               put_value((even - wave + (1 << 19)) >> 20, to + 1);
    to += stride;
    even = low[0] * 32768;
    wave = 29692 * low[1] - 10426 * low[2] + 6967 * low[3] - 5906 * low[4];
    return good & put_value((even + wave + (1 << 19)) >> 20, to) &
           put_value((even - wave + (1 << 19)) >> 20, to + 1);
}

#endif
