/* Walking a JPEG: every Huffman code of its stream is read, and the picture made at 1/8.
 *
 * This is no decoder of full pictures and no judge of damaged ones. It takes the one kind of JPEG
 * that nearly all are (Huffman coded, sequential, 8 bits, one scan) and says of each either
 * "clean", and then the pixels are those libjpeg-turbo gives for scale 1/8 to the last bit, or
 * "not clean", which says nothing about the file: it is then decoded by the library, whose verdict
 * counts. So everything in doubt is refused here, also what a decoder lets pass with a warning.
 *
 * It is fast because nearly all AC coefficients of a picture at 1/8 are only skipped: a table tells
 * for the next 12 bits of the stream how many whole codes they hold, how long these are together
 * with their extra bits and how far they advance in the block. No value is looked at.
 */
#ifndef BOATSEG_JPEG_H
#define BOATSEG_JPEG_H

#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK_SIDE = 8,      /* px */
    COEFFICIENTS = 64,   /* of a block */
    LOOKUP = 12,         /* bits of the stream that a table is asked about at a time */
    LONGEST_CODE = 16,   /* bits */
    MOST_SIDE = 65500    /* px, JPEG_MAX_DIMENSION of libjpeg */
};

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
    /* Left aligned to 16 bits: codes of a length are below its limit. */
    uint32_t limit[LONGEST_CODE + 1];
    int32_t offset[LONGEST_CODE + 1]; /* of a length: index of its symbol less its code */
    HuffmanTable from;
} Codes;

enum { SYMBOL = 8, ADVANCE = 6, END_OF_BLOCK = 256, LONG_CODE = 512 };

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

#endif
