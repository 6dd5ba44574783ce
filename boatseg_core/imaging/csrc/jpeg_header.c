/* The header of a JPEG (ITU-T T.81, annex B), read more strictly than decoders do. */
#include "jpeg.h"

#include <string.h>

const uint8_t zigzag[COEFFICIENTS] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

typedef struct {
    uint8_t quant[4][COEFFICIENTS];
    HuffmanTable huffman[2][4]; /* DC, AC */
    uint8_t has_quant[4], has_huffman[2][4];
    uint8_t ids[3], quant_of[3];
    int framed, jfif, adobe; /* adobe: its colour transform + 1 */
} Reader;

static int be16(const uint8_t *at)
{
    return at[0] << 8 | at[1];
}

static int read_quant(const uint8_t *at, size_t size, Reader *r)
{
    for (; size >= 1 + COEFFICIENTS; at += 1 + COEFFICIENTS, size -= 1 + COEFFICIENTS) {
        if (at[0] > 3) /* 16-bit steps, or no table */
            return 0;
        memcpy(r->quant[at[0]], at + 1, COEFFICIENTS);
        r->has_quant[at[0]] = 1;
    }
    return size == 0;
}

static int read_huffman(const uint8_t *at, size_t size, Reader *r)
{
    while (size) {
        size_t count = 0;
        if (size < 1 + LONGEST_CODE || at[0] >> 4 > 1 || (at[0] & 15) > 3)
            return 0;
        for (int i = 0; i < LONGEST_CODE; i++)
            count += at[1 + i];
        if (count > 256 || size < 1 + LONGEST_CODE + count)
            return 0;
        HuffmanTable *table = &r->huffman[at[0] >> 4][at[0] & 15];
        memset(table, 0, sizeof *table);
        table->is_ac = at[0] >> 4;
        memcpy(table->counts, at + 1, LONGEST_CODE);
        memcpy(table->symbols, at + 1 + LONGEST_CODE, count);
        r->has_huffman[at[0] >> 4][at[0] & 15] = 1;
        at += 1 + LONGEST_CODE + count;
        size -= 1 + LONGEST_CODE + count;
    }
    return 1;
}

static int read_frame(const uint8_t *at, size_t size, Reader *r, JpegHeader *h)
{
    if (r->framed || size < 6 || at[0] != 8)
        return 0;
    h->height = be16(at + 1);
    h->width = be16(at + 3);
    h->components = at[5];
    if ((h->components != 1 && h->components != 3) || size != 6 + 3 * (size_t)h->components ||
        h->width < 1 || h->height < 1 || h->width > MOST_SIDE || h->height > MOST_SIDE)
        return 0;
    for (int c = 0; c < h->components; c++) {
        const uint8_t *own = at + 6 + 3 * c;
        int across = own[1] >> 4, down = own[1] & 15;
        r->ids[c] = own[0];
        r->quant_of[c] = own[2];
        if (own[2] > 3 || across < 1 || across > 2 || down < 1 || down > 2)
            return 0;
        if (c == 0) {
            h->across = across;
            h->down = down;
        } else if (across != 1 || down != 1) {
            return 0;
        }
    }
    if (h->components == 1) /* its blocks follow each other one by one, whatever is claimed */
        h->across = h->down = 1;
    else if (r->ids[0] == r->ids[1] || r->ids[0] == r->ids[2] || r->ids[1] == r->ids[2])
        return 0;
    r->framed = 1;
    return 1;
}

static int read_scan(const uint8_t *at, size_t size, const Reader *r, JpegHeader *h)
{
    if (!r->framed || size != 4 + 2 * (size_t)h->components || at[0] != h->components)
        return 0;
    for (int c = 0; c < h->components; c++) {
        int dc = at[2 + 2 * c] >> 4, ac = at[2 + 2 * c] & 15;
        if (at[1 + 2 * c] != r->ids[c] || dc > 3 || ac > 3 || !r->has_huffman[0][dc] ||
            !r->has_huffman[1][ac] || !r->has_quant[r->quant_of[c]] ||
            !r->quant[r->quant_of[c]][0]) /* would let the sum of DC differences grow unseen */
            return 0;
        h->dc[c] = r->huffman[0][dc];
        h->ac[c] = r->huffman[1][ac];
        memcpy(h->quant[c], r->quant[r->quant_of[c]], COEFFICIENTS);
    }
    at += 1 + 2 * h->components;
    if (at[0] != 0 || at[1] != COEFFICIENTS - 1 || at[2] != 0)
        return 0;
    /* What libjpeg takes for YCbCr. */
    int named = r->ids[0] == 1 && r->ids[1] == 2 && r->ids[2] == 3;
    return h->components == 1 || r->jfif || (r->adobe ? r->adobe == 2 : named);
}

int read_jpeg_header(const uint8_t *data, size_t size, JpegHeader *h)
{
    Reader reader;
    Reader *r = &reader;
    memset(r, 0, sizeof *r);
    memset(h, 0, sizeof *h);
    if (size < 4 || data[0] != 0xff || data[1] != 0xd8)
        return 0;
    for (size_t at = 2; at + 4 <= size;) {
        int marker = data[at + 1];
        size_t length = (size_t)be16(data + at + 2);
        if (data[at] != 0xff || length < 2 || length > size - at - 2)
            return 0;
        const uint8_t *body = data + at + 4;
        size_t rest = length - 2;
        int good = 1;
        at += 2 + length;
        switch (marker) {
        case 0xc0: /* baseline */
        case 0xc1: /* extended, sequential */
            good = read_frame(body, rest, r, h);
            break;
        case 0xc4:
            good = read_huffman(body, rest, r);
            break;
        case 0xda:
            h->scan = at;
            return read_scan(body, rest, r, h);
        case 0xdb:
            good = read_quant(body, rest, r);
            break;
        case 0xdd:
            good = rest == 2;
            if (good)
                h->restart_interval = be16(body);
            break;
        case 0xe0:
            if (rest >= 5 && !memcmp(body, "JFIF", 5)) {
                good = rest >= 14;
                r->jfif = 1;
            }
            break;
        case 0xee:
            if (rest >= 5 && !memcmp(body, "Adobe", 5)) {
                good = rest >= 12;
                r->adobe = good ? body[11] + 1 : 0;
            }
            break;
        default: /* comments and what applications add say nothing about the pixels */
            good = marker == 0xfe || (marker >= 0xe1 && marker <= 0xef);
        }
        if (!good)
            return 0;
    }
    return 0;
}
