/* Sums over the pixels of a decoded picture, and fingerprints of its tiles.
 *
 * Integers only, so that each machine and each instruction set gives the same bits; what is
 * computed is defined by the plain NumPy versions in sums.py, reduced.py and fingerprint.py, which
 * also stand in where this was not compiled. The tests hold the two together.
 *
 * Indices are ptrdiff_t everywhere: Python's own flags (-fwrapv) keep the compiler from vectorising
 * over an int, three times as slow.
 */
#ifndef BOATSEG_PICTURE_H
#define BOATSEG_PICTURE_H

#include <stddef.h>
#include <stdint.h>

enum {
    CELL = 8,      /* px, side of the averages that fingerprints compare */
    TILE = 32,     /* px, side of a tile that may be blank */
    BLOCK = 4,     /* px, side of the averages that saturation is taken of */
    BLACK = 2,     /* highest luminance that counts as black */
    WHITE = 253,   /* lowest luminance that counts as white */
    SCALE = 4095,  /* of a saturation; small enough for a float quotient to round down right */
    SIDE = 32,     /* cells along a tile that is fingerprinted */
    BITS = 256     /* of a fingerprint */
};

typedef struct {
    uint64_t sum, square;                 /* of the luminance */
    int64_t laplacian;                    /* sum and sum of squares over the inner pixels */
    uint64_t laplacian_square;
    uint64_t saturation;                  /* of the blocks, in units of 1/SCALE */
    uint32_t black, white;                /* tiles that are entirely so */
} Sums;

typedef struct Picture Picture;

/* Begin with a picture that comes in strips of TILE rows, the last one of what is left. NULL: no
 * memory. */
Picture *open_picture(ptrdiff_t width, ptrdiff_t height, uint8_t *cells);

/* Add the next strip, rows of `stride` bytes with pixels of 3 or 4 bytes. Fills its rows of cells
 * [height / 8, width / 8]. */
void add_strip(Picture *picture, const uint8_t *pixels, ptrdiff_t stride, int bytes);

/* End; fills the sums and the histogram [3, 256]. */
void close_picture(Picture *picture, Sums *sums, uint32_t *histogram);

/* All of it for a picture in one piece. 0: no memory. */
int picture_sums(const uint8_t *pixels, ptrdiff_t width, ptrdiff_t height, int bytes, Sums *sums,
                 uint8_t *cells, uint32_t *histogram);

/* Of a picture at 1/8, planes of red, green and blue. Fills cells [rows, columns], its luminance,
 * and the histogram [3, 256]; the Laplacian's sums stay 0. */
void reduced_sums(const uint8_t *planes, ptrdiff_t rows, ptrdiff_t columns, Sums *sums,
                  uint8_t *cells, uint32_t *histogram);

/* Fingerprint of one tile; fingerprint.py says what it is and why. */
void put_fingerprint(const uint8_t *cells, ptrdiff_t stride, const uint16_t *pairs, uint64_t least,
                     uint8_t *bits);

#endif
