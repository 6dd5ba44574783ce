/* Reading a JPEG: decoding it, or a box of it, and walking it for a picture at 1/8.
 *
 * Neither is a judge of damaged files. Both take the one kind of JPEG that nearly all are (Huffman
 * coded, sequential, 8 bits, one scan) and say of each either "clean", and then the pixels are those
 * of libjpeg-turbo to the last bit, or "not clean", which says nothing about the file: it is then
 * decoded by the library, whose verdict counts. So everything in doubt is refused here, also what a
 * decoder lets pass with a warning.
 *
 * They are fast because tables tell for the next bits of the stream how many whole codes they hold:
 * where coefficients are wanted, one or two with their values; where they are only skipped, as
 * nearly all AC coefficients of a picture at 1/8 are, how long all of them are together and how far
 * they advance in the block.
 */
#ifndef BOATSEG_JPEG_H
#define BOATSEG_JPEG_H

#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK_SIDE = 8,      /* px */
    COEFFICIENTS = 64,   /* of a block */
    LOOKUP = 12,         /* bits of the stream that a table is asked about at a time */
    PAIR_LOOKUP = 11,    /* the same, for coefficients: a larger table would not stay in the cache */
    LONGEST_CODE = 16,   /* bits */
    MOST_SIDE = 65500    /* px, JPEG_MAX_DIMENSION of libjpeg */
};

/* Where in a block, in rows, the n-th coefficient of the stream belongs. */
extern const uint8_t zigzag[COEFFICIENTS];

/* A Huffman table as the file defines it; unused symbols are zero, so that equal ones are equal. */
typedef struct {
    uint8_t is_ac;
    uint8_t counts[LONGEST_CODE]; /* codes of 1, 2, ... 16 bits */
    uint8_t symbols[256];
} HuffmanTable;

/* One made ready to be asked. */
typedef struct {
    /* By the next LOOKUP bits: bits of the code and of its extra bits | symbol << SYMBOL; 0 where
     * the code is longer. */
    uint16_t one[1 << LOOKUP];
    /* Only of AC tables: bits of as many whole codes as are in sight | their advance << ADVANCE, where
     * the advance has END_OF_BLOCK added if the last code is one, or is LONG_CODE. */
    uint16_t skip[1 << LOOKUP];
    /* Only of AC tables, by the next PAIR_LOOKUP bits: bits of one or two codes and their extra bits
     * | the advance of the first << FIRST_STEP | of the second << SECOND_STEP | the coefficients
     * they stand for << FIRST and SECOND. Of one code, the second is the first again, 0 further on. */
    uint64_t pair[1 << PAIR_LOOKUP];
    /* Left aligned to 16 bits: codes of a length are below its limit. */
    uint32_t limit[LONGEST_CODE + 1];
    int32_t offset[LONGEST_CODE + 1]; /* of a length: index of its symbol less its code */
    HuffmanTable from;
} Codes;

enum { SYMBOL = 8, ADVANCE = 6, END_OF_BLOCK = 256, LONG_CODE = 512 };
enum {
    FIRST_STEP = 8,
    SECOND_STEP = 16,
    FIRST = 32,
    SECOND = 48,
    BLOCK_END = 128 /* an advance, also of a code that is not in sight */
};

typedef struct {
    int width, height;        /* px */
    int components;           /* 1: grey; 3: YCbCr */
    int across, down;         /* luma blocks of an MCU; chroma has one each */
    int restart_interval;     /* MCUs, 0: none */
    uint8_t quant[3][COEFFICIENTS]; /* of each component, in zigzag order */
    HuffmanTable dc[3], ac[3];      /* of each component */
    size_t scan;              /* where the coded data starts */
} JpegHeader;

/* Read everything before the coded data. 0: not the kind of JPEG that is walked. */
int read_jpeg_header(const uint8_t *data, size_t size, JpegHeader *header);

/* Make a table ready. 0: it is not valid, or unusual. */
int make_codes(const HuffmanTable *table, Codes *codes);

/* Ready tables are kept: nearly all files have the same four. Only with the interpreter held.
 * NULL: the table is not valid, or no memory. */
const Codes *take_codes(const HuffmanTable *table);
void give_back_codes(const Codes *codes);

/* Walk the coded data and write the picture at 1/8, as planes of red, green and blue of
 * ceil(height / 8) * ceil(width / 8) bytes each. 0: not clean, or no memory. */
int walk_jpeg(const uint8_t *data, size_t size, const JpegHeader *header, const Codes *const dc[3],
              const Codes *const ac[3], uint8_t *planes);

/* A part of a picture, in pixels. */
typedef struct {
    int left, top, width, height;
} Box;

/* Where decoded pixels go: red, green, blue (and 255, if they are of 4 bytes), in rows. */
typedef struct {
    uint8_t *pixels;
    ptrdiff_t stride;  /* bytes from one row to the next */
    int bytes;         /* of a pixel: 3 or 4 */
    int rows;          /* that fit; all of the box if `full` is NULL */
    /* Called with `pixels` whenever so many rows are full, and with the rest at the end. 0: no
     * memory. */
    int (*full)(void *self, const uint8_t *pixels, ptrdiff_t stride);
    void *self;
} Sink;

/* Decode a box of the picture with one of the kinds of the decoder, at half the size if `halved` (the box is then one of the picture of
 * ceil(width / 2) * ceil(height / 2)): the pixels of libjpeg-turbo, to the last bit. Data below the
 * box is not looked at. 0: not clean, or no memory; the sink may have been filled in part. */
int decode_jpeg(int kind, const uint8_t *data, size_t size, const JpegHeader *header,
                const Codes *const dc[3], const Codes *const ac[3], Box box, int halved,
                Sink *sink);

/* Kinds of the decoder that this processor can run; the last one is the fastest. */
int decoders(void);

#endif
