/* Inverse cosine transforms of two blocks at a time: the integers of libjpeg.
 *
 * jpeg_idct_islow of jidctint.c (after Loeffler, Ligtenberg and Moschytz, ICASSP 1989) and
 * jpeg_idct_4x4 of jidctred.c. Their C code and their SIMD code agree as long as no sum leaves the
 * 16 bits that SIMD has for it, and no pixel what the C code's table clamps. Blocks in which one
 * does are reported.
 */
#ifndef BOATSEG_JPEG_IDCT_H
#define BOATSEG_JPEG_IDCT_H

#include <string.h>

#include "fast.h"
#include "jpeg.h"

/* A row of both blocks. Unsigned, since what hostile files make overflow is reported afterwards. */
typedef uint32_t Wide __attribute__((vector_size(64)));
typedef int32_t Signed __attribute__((vector_size(64)));
typedef int16_t Row __attribute__((vector_size(32)));

#ifdef __clang__
#define MIX(kind, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(kind, a, b, ...) __builtin_shuffle(a, b, (kind){__VA_ARGS__})
#endif

enum {
    FRACTION = 13, /* bits of the factors */
    KEPT = 2,      /* bits that the first pass leaves */
    SUM_BITS = 15, /* of coefficients and of what the first pass leaves: two add up to 16 bits */
    PIXEL_BITS = 10,
    ROW = 16       /* numbers of two blocks side by side */
};

/* What was seen in some blocks: all numbers, shifted to where one in range is none of the upper bits. */
typedef struct {
    Wide sums, pixels;
} Seen;

INLINE Wide wide(Row row)
{
    return (Wide)__builtin_convertvector(row, Signed);
}

INLINE Wide shifted(Wide value, int bits)
{
    return (Wide)((Signed)value >> bits);
}

INLINE Row narrow(Wide value)
{
    return __builtin_convertvector(value, Row);
}

/* Whether all that was seen is in range. */
INLINE int in_range(const Seen *seen)
{
    Wide high = seen->sums >> SUM_BITS | seen->pixels >> PIXEL_BITS;
    uint32_t each[ROW], any = 0;
    memcpy(each, &high, sizeof each);
    for (int i = 0; i < ROW; i++)
        any |= each[i];
    return !any;
}

/* Exchange rows and columns of each block. */
INLINE void transpose(Row r[8])
{
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27
#define HIGH 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31
    Row a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = MIX(Row, r[i], r[i + 4], LOW);
        a[2 * i + 1] = MIX(Row, r[i], r[i + 4], HIGH);
    }
    for (int i = 0; i < 4; i++) {
        b[2 * i] = MIX(Row, a[i], a[i + 4], LOW);
        b[2 * i + 1] = MIX(Row, a[i], a[i + 4], HIGH);
    }
    for (int i = 0; i < 4; i++) {
        r[2 * i] = MIX(Row, b[i], b[i + 4], LOW);
        r[2 * i + 1] = MIX(Row, b[i], b[i + 4], HIGH);
    }
#undef LOW
#undef HIGH
}

/* One direction of jpeg_idct_islow. `few`: rows from 4 on are zero. */
INLINE void transform(Wide v[8], int shift, int few)
{
    Wide half = (Wide){0} + (1u << (shift - 1));
    Wide even0, even1, even2, even3;
    if (few) {
        Wide tmp0 = v[0] << FRACTION;
        Wide tmp2 = v[2] * 4433, tmp3 = v[2] * (4433 + 6270);
        even0 = tmp0 + tmp3 + half;
        even3 = tmp0 - tmp3 + half;
        even1 = tmp0 + tmp2 + half;
        even2 = tmp0 - tmp2 + half;
    } else {
        Wide z1 = (v[2] + v[6]) * 4433;
        Wide tmp2 = z1 - v[6] * 15137, tmp3 = z1 + v[2] * 6270;
        Wide tmp0 = (v[0] + v[4]) << FRACTION, tmp1 = (v[0] - v[4]) << FRACTION;
        even0 = tmp0 + tmp3 + half;
        even3 = tmp0 - tmp3 + half;
        even1 = tmp1 + tmp2 + half;
        even2 = tmp1 - tmp2 + half;
    }
    Wide odd0, odd1, odd2, odd3;
    if (few) {
        Wide z5 = (v[1] + v[3]) * 9633;
        Wide z3 = z5 - v[3] * 16069, z4 = z5 - v[1] * 3196;
        Wide z1 = v[1] * (uint32_t)-7373, z2 = v[3] * (uint32_t)-20995;
        odd0 = z1 + z3;
        odd1 = z2 + z4;
        odd2 = v[3] * 25172 + z2 + z3;
        odd3 = v[1] * 12299 + z1 + z4;
    } else {
        Wide z3 = v[7] + v[3], z4 = v[5] + v[1], z5 = (z3 + z4) * 9633;
        Wide z1 = (v[7] + v[1]) * (uint32_t)-7373, z2 = (v[5] + v[3]) * (uint32_t)-20995;
        z3 = z5 - z3 * 16069;
        z4 = z5 - z4 * 3196;
        odd0 = v[7] * 2446 + z1 + z3;
        odd1 = v[5] * 16819 + z2 + z4;
        odd2 = v[3] * 25172 + z2 + z3;
        odd3 = v[1] * 12299 + z1 + z4;
    }
    v[0] = shifted(even0 + odd3, shift);
    v[7] = shifted(even0 - odd3, shift);
    v[1] = shifted(even1 + odd2, shift);
    v[6] = shifted(even1 - odd2, shift);
    v[2] = shifted(even2 + odd1, shift);
    v[5] = shifted(even2 - odd1, shift);
    v[3] = shifted(even3 + odd0, shift);
    v[4] = shifted(even3 - odd0, shift);
}

/* One direction of jpeg_idct_4x4, whose fifth input is not used. */
INLINE void transform_half(Wide v[8], int shift)
{
    Wide half = (Wide){0} + (1u << (shift - 1));
    Wide tmp0 = (v[0] << (FRACTION + 1)) + half;
    Wide tmp2 = v[2] * 15137 - v[6] * 6270;
    Wide even0 = tmp0 + tmp2, even1 = tmp0 - tmp2;
    Wide odd1 = v[5] * 11893 - v[7] * 1730 - v[3] * 17799 + v[1] * 8697;
    Wide odd0 = v[3] * 7373 - v[7] * 4176 - v[5] * 4926 + v[1] * 20995;
    v[0] = shifted(even0 + odd0, shift);
    v[3] = shifted(even0 - odd0, shift);
    v[1] = shifted(even1 + odd1, shift);
    v[2] = shifted(even1 - odd1, shift);
}

INLINE Wide dequantised(const int16_t *row, const uint32_t *steps, Seen *seen)
{
    Row coefficients;
    Wide step;
    memcpy(&coefficients, row, sizeof coefficients);
    memcpy(&step, steps, sizeof step);
    Wide value = wide(coefficients) * step;
    seen->sums |= value + (1u << (SUM_BITS - 1));
    return value;
}

/* Around zero to bytes; `n` rows. */
INLINE void put_pixels(const Row r[8], int n, int side, uint8_t *const to[2], ptrdiff_t stride)
{
    int16_t values[8 * ROW];
    uint8_t pixels[8 * ROW];
    memcpy(values, r, sizeof(Row) * (size_t)n);
    for (ptrdiff_t i = 0; i < ROW * n; i++) {
        int16_t value = (int16_t)(values[i] + 128);
        pixels[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
    for (int i = 0; i < n; i++)
        for (int b = 1; b >= 0; b--)
            memcpy(to[b] + i * stride, pixels + ROW * i + 8 * b, (size_t)side);
}

/* Transform two blocks of quantised coefficients, in rows of both, and write 8 x 8 pixels of each.
 * `few`: only the first four rows and columns of them hold any. */
INLINE void put_blocks(const int16_t *blocks, const uint32_t *steps, int few, Seen *seen,
                       uint8_t *const to[2], ptrdiff_t stride)
{
    int rows = few ? 4 : 8;
    Row r[8];
    Wide v[8];
    for (int i = 0; i < rows; i++)
        v[i] = dequantised(blocks + ROW * i, steps + ROW * i, seen);
    transform(v, FRACTION - KEPT, few);
    for (int i = 0; i < 8; i++) {
        seen->sums |= v[i] + (1u << (SUM_BITS - 1));
        r[i] = narrow(v[i]);
    }
    transpose(r);
    for (int i = 0; i < rows; i++)
        v[i] = wide(r[i]);
    transform(v, FRACTION + KEPT + 3, few);
    for (int i = 0; i < 8; i++) {
        seen->pixels |= v[i] + (1u << (PIXEL_BITS - 1));
        r[i] = narrow(v[i]);
    }
    transpose(r);
    put_pixels(r, 8, 8, to, stride);
}

/* The same at half the size: 4 x 4 pixels of each. */
INLINE void put_half_blocks(const int16_t *blocks, const uint32_t *steps, Seen *seen,
                            uint8_t *const to[2], ptrdiff_t stride)
{
    Row r[8];
    Wide v[8];
    for (int i = 0; i < 8; i++)
        v[i] = dequantised(blocks + ROW * i, steps + ROW * i, seen);
    transform_half(v, FRACTION - KEPT + 1);
    for (int i = 0; i < 8; i++)
        r[i] = (Row){0};
    for (int i = 0; i < 4; i++) {
        seen->sums |= v[i] + (1u << (SUM_BITS - 1));
        r[i] = narrow(v[i]);
    }
    transpose(r);
    for (int i = 0; i < 8; i++)
        v[i] = wide(r[i]);
    transform_half(v, FRACTION + KEPT + 3 + 1);
    for (int i = 0; i < 4; i++) {
        seen->pixels |= v[i] + (1u << (PIXEL_BITS - 1));
        r[i] = narrow(v[i]);
    }
    transpose(r);
    put_pixels(r, 4, 4, to, stride);
}

/* Two blocks without AC coefficients, of which every pixel is (DC + 4) / 8. */
INLINE void put_means(const int mean[2], size_t side, Seen *seen, uint8_t *const to[2],
                      ptrdiff_t stride)
{
    for (int b = 1; b >= 0; b--) {
        int value = (mean[b] + 4) >> 3;
        seen->pixels[b] |= (uint32_t)value + (1u << (PIXEL_BITS - 1));
        value = value < -128 ? 0 : value > 127 ? 255 : value + 128;
        for (size_t i = 0; i < side; i++)
            memset(to[b] + (ptrdiff_t)i * stride, value, side);
    }
}

#endif
