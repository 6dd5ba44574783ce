/* Decoding a JPEG, or a box of it: one row of MCUs at a time, all of which stays in the caches.
 *
 * Included once for each kind of processor, with DECODE_JPEG the name that decode_jpeg then has.
 */
#include <stdlib.h>

#include "jpeg_idct.h"
#include "jpeg_rows.h"
#include "jpeg_scan.h"

enum {
    MOST_BLOCKS = 6,       /* of an MCU */
    PLACES = 2 * BLOCK_END, /* that reading a block may name */
    NOWHERE = 8 * ROW,
    MOST_DC = 16384,       /* beyond it, no coefficient of an int16 */
    FEW = 10,              /* coefficients: the first four diagonals of a block */
    NARROWEST = 10         /* px; libjpeg widens what is smaller in another way */
};

/* Two blocks of an MCU that are transformed together; the second may be none. */
typedef struct {
    int component[2];
    ptrdiff_t row[2], column[2];  /* in the MCU, of samples */
    uint32_t steps[8 * ROW];
} Couple;

typedef struct {
    Scan scan;
    Rows rows;
    Sink *sink;
    int halved;
    Couple couples[MOST_BLOCKS / 2];
    int blocks;                      /* of an MCU */
    uint8_t place[PLACES];           /* in rows of two, of the n-th coefficient in zigzag order */
    size_t left, right, top, bottom; /* MCUs that the box is made of */
    Seen seen;
    ptrdiff_t next;                  /* row of the picture to be put */
    int filled;                      /* rows of the sink */
} Decoding;

static void set_couples(Decoding *d)
{
    const JpegHeader *header = d->scan.header;
    for (int k = 0; k < PLACES; k++)
        d->place[k] = k < COEFFICIENTS ? (uint8_t)(zigzag[k] / 8 * ROW + zigzag[k] % 8) : NOWHERE;
    for (int c = 0; c < header->components; c++) {
        int across = c ? 1 : header->across, all = across * (c ? 1 : header->down);
        for (int i = 0; i < all; i++, d->blocks++) {
            Couple *couple = &d->couples[d->blocks / 2];
            int b = d->blocks % 2;
            couple->component[b] = c;
            couple->row[b] = i / across * d->rows.planes[c].side;
            couple->column[b] = i % across * d->rows.planes[c].side;
            for (int k = 0; k < COEFFICIENTS; k++)
                couple->steps[d->place[k] + 8 * b] = header->quant[c][k];
        }
    }
}

/* Read one AC code the plain way: where the next two end the block, or are not in sight. Returns as
 * skip_one, and sets the coefficient. */
INLINE uint64_t read_one(Bits *bits, const Codes *codes, uint64_t k, const uint8_t *place,
                         int16_t *block)
{
    uint64_t code = next_code(bits, codes), symbol = code >> SYMBOL;
    if (!code)
        return 0;
    int value = value_of(bits, code, symbol & 15);
    drop(bits, code);
    k += symbol ? (symbol >> 4) + 1 : BLOCK_END;
    block[place[k - 1]] = (int16_t)value;
    /* The last place takes a coefficient, no run of zeros. */
    return k == COEFFICIENTS && !(symbol & 15) ? 0 : k;
}

/* Read the AC coefficients of a block. Returns the number of places up to the last one in zigzag
 * order, 0 if not clean. The bits were just refilled. */
INLINE uint64_t read_coefficients(Bits *bits, const Codes *codes, const uint8_t *place,
                                  int16_t *block)
{
    for (uint64_t k = 1;; refill(bits)) {
        uint64_t pair = 0, first = 0;
        /* Twice what a table holds, and a long code, are less than a refill gives. */
        for (int turn = 0; turn < 2; turn++) {
            pair = codes->pair[bits->ahead >> (64 - PAIR_LOOKUP)];
            first = k + (pair >> FIRST_STEP & 255);
            if (first >= COEFFICIENTS)
                break;
            uint64_t second = first + (pair >> SECOND_STEP & 255);
            block[place[first - 1]] = (int16_t)(pair >> FIRST);
            block[place[second - 1]] = (int16_t)(pair >> SECOND);
            drop(bits, pair);
            if (second > BLOCK_END)
                return first;
            if (second >= COEFFICIENTS) /* as in read_one */
                return second == COEFFICIENTS && pair >> SECOND ? second : 0;
            k = second;
        }
        if (first < COEFFICIENTS)
            continue;
        if (first > BLOCK_END && (pair & 63)) { /* the end of the block comes first */
            drop(bits, pair);
            return k;
        }
        first = read_one(bits, codes, k, place, block);
        if (first >= COEFFICIENTS || !first)
            return first == COEFFICIENTS ? first : first > BLOCK_END ? k : 0;
        k = first;
    }
}

/* Read the DC coefficient of a block. 0: not clean. */
INLINE int read_mean(Scan *scan, int c, Bits *bits)
{
    refill(bits);
    return read_dc(bits, scan->dc[c], &scan->last_dc[c]) && scan->last_dc[c] >= -MOST_DC &&
           scan->last_dc[c] < MOST_DC;
}

/* Read the blocks of an MCU that the box does not need. 0: not clean. */
INLINE int skip_mcu(Decoding *d, Bits *bits)
{
    for (int i = 0; i < d->blocks; i++) {
        int c = d->couples[i / 2].component[i % 2];
        if (!read_mean(&d->scan, c, bits) || !skip_ac(bits, d->scan.ac[c]))
            return 0;
    }
    return 1;
}

/* Read two blocks, and write their pixels. 0: not clean. */
INLINE int decode_couple(Decoding *d, const Couple *couple, int n, size_t mcu, Bits *bits,
                         Seen *seen)
{
    int16_t blocks[NOWHERE + ROW];
    uint8_t spare[8 * 8], *to[2] = {spare, spare};
    ptrdiff_t stride = 8;
    uint64_t most = 0;
    int mean[2] = {0, 0};
    memset(blocks, 0, sizeof blocks);
    for (int b = 0; b < n; b++) {
        int c = couple->component[b];
        const Plane *plane = &d->rows.planes[c];
        if (!read_mean(&d->scan, c, bits))
            return 0;
        refill(bits);
        uint64_t count = read_coefficients(bits, d->scan.ac[c], d->place, blocks + 8 * b);
        if (!count)
            return 0;
        most = count > most ? count : most;
        blocks[8 * b] = (int16_t)d->scan.last_dc[c];
        mean[b] = d->scan.last_dc[c] * (int)couple->steps[8 * b];
        ptrdiff_t column = (ptrdiff_t)mcu * (c ? 1 : d->scan.header->across) * plane->side;
        to[b] = plane->samples + (1 + couple->row[b]) * plane->stride + column + couple->column[b];
        stride = plane->stride;
    }
    int whole = d->rows.planes[couple->component[0]].side == BLOCK_SIDE;
    if (n == 1)
        to[1] = to[0]; /* is written before it */
    if (most == 1)
        put_means(mean, whole ? 8 : 4, seen, to, stride);
    else if (!whole)
        put_half_blocks(blocks, couple->steps, seen, to, stride);
    else if (most <= FEW)
        put_blocks(blocks, couple->steps, 1, seen, to, stride);
    else
        put_blocks(blocks, couple->steps, 0, seen, to, stride);
    return 1;
}

/* Put the rows that are complete, all but the last where its neighbour below is in the next row of
 * MCUs. 0: no memory. */
static int put_rows(Decoding *d, size_t y)
{
    const Rows *rows = &d->rows;
    Sink *sink = d->sink;
    ptrdiff_t y0[3] = {0}, end = (ptrdiff_t)(y + 1) * rows->planes[0].rows;
    ptrdiff_t below = rows->box.top + rows->box.height;
    for (int c = 0; c < rows->components; c++)
        y0[c] = (ptrdiff_t)y * rows->planes[c].rows;
    end = end >= rows->planes[0].height ? rows->planes[0].height : end - (rows->down - 1);
    for (end = end < below ? end : below; d->next < end; d->next++) {
        put_row(rows, d->next, y0, sink->pixels + d->filled * sink->stride, sink->bytes);
        d->filled++;
        if (sink->full && (d->filled == sink->rows || d->next + 1 == below)) {
            if (!sink->full(sink->self, sink->pixels, sink->stride))
                return 0;
            d->filled = 0;
        }
    }
    for (int c = 0; c < rows->components; c++) {
        const Plane *plane = &rows->planes[c];
        memcpy(plane->samples, plane->samples + plane->rows * plane->stride,
               (size_t)plane->stride);
    }
    return 1;
}

/* Decode the MCUs of an interval. 0: not clean. */
static int decode_mcus(Decoding *d)
{
    Scan *scan = &d->scan;
    const size_t wide = scan->across, left = d->left, right = d->right, bottom = d->bottom;
    size_t mcu = scan->from, x = mcu % wide, y = mcu / wide;
    Bits bits = scan->bits;
    Seen seen = d->seen;
    for (; mcu < scan->to && y < bottom; mcu++) {
        if (x < left || x >= right || y < d->top) {
            if (!skip_mcu(d, &bits))
                return 0;
        } else {
            for (int i = 0; i < d->blocks; i += 2)
                if (!decode_couple(d, &d->couples[i / 2], d->blocks - i > 1 ? 2 : 1, x - left,
                                   &bits, &seen))
                    return 0;
        }
        if (beyond(&bits, scan->end))
            return 0;
        if (++x == wide) {
            if (y >= d->top && (!in_range(&seen) || !put_rows(d, y)))
                return 0;
            x = 0;
            y++;
        }
    }
    scan->bits = bits;
    d->seen = seen;
    return mcu < scan->to || end_interval(scan);
}

/* Which MCUs the box needs, with the neighbours that chroma is widened from. */
static void set_extent(Decoding *d, int width, int height)
{
    Rows *rows = &d->rows;
    const JpegHeader *header = d->scan.header;
    const ptrdiff_t side = d->halved ? BLOCK_SIDE / 2 : BLOCK_SIDE;
    /* libjpeg writes chroma at twice the size where that saves widening it. */
    const int twice = d->halved && header->across == 2 && header->down == 2;
    const int across = rows->across = twice ? 1 : header->across;
    const int down = rows->down = twice ? 1 : header->down;
    const ptrdiff_t wide = side * header->across, tall = side * header->down;
    const ptrdiff_t left = rows->box.left, right = left + rows->box.width;
    const ptrdiff_t top = rows->box.top, bottom = top + rows->box.height;
    d->left = (size_t)((left > across ? left - across : 0) / wide);
    d->top = (size_t)((top > down ? top - down : 0) / tall);
    d->right = (size_t)((right + across + wide - 1) / wide);
    d->bottom = (size_t)((bottom + down + tall - 1) / tall);
    if (d->right > d->scan.across)
        d->right = d->scan.across;
    if (d->bottom > d->scan.mcus / d->scan.across)
        d->bottom = d->scan.mcus / d->scan.across;
    for (int c = 0; c < rows->components; c++) {
        Plane *plane = &rows->planes[c];
        ptrdiff_t blocks_across = c ? 1 : header->across, blocks_down = c ? 1 : header->down;
        plane->side = c && twice ? BLOCK_SIDE : side;
        plane->rows = blocks_down * plane->side;
        plane->stride = (ptrdiff_t)(d->right - d->left) * blocks_across * plane->side;
        plane->first = (ptrdiff_t)d->left * blocks_across * plane->side;
        plane->width = c ? (width + across - 1) / across : width;
        plane->height = c ? (height + down - 1) / down : height;
    }
}

/* Memory for all of it, in one piece. */
static uint8_t *set_memory(Rows *rows)
{
    size_t width = (size_t)rows->planes[0].stride + 4, total = (2 + sizeof *rows->sums) * width;
    for (int c = 0; c < rows->components; c++)
        total += (size_t)((1 + rows->planes[c].rows) * rows->planes[c].stride);
    uint8_t *memory = malloc(total), *at = memory;
    if (!memory)
        return NULL;
    rows->sums = (uint16_t *)(void *)at;
    at += sizeof *rows->sums * width;
    for (int i = 0; i < 2; i++, at += width)
        rows->row[i] = at;
    for (int c = 0; c < rows->components; c++) {
        rows->planes[c].samples = at;
        at += (1 + rows->planes[c].rows) * rows->planes[c].stride;
    }
    return memory;
}

int DECODE_JPEG(const uint8_t *data, size_t size, const JpegHeader *header, const Codes *const dc[3],
                const Codes *const ac[3], Box box, int halved, Sink *sink)
{
    Decoding d = {.halved = halved, .sink = sink, .next = box.top};
    int width = halved ? (header->width + 1) / 2 : header->width;
    int height = halved ? (header->height + 1) / 2 : header->height;
    if (header->width < NARROWEST)
        return 0;
    d.rows.components = header->components;
    d.rows.box = box;
    int clean = open_scan(&d.scan, data, size, header, dc, ac);
    set_extent(&d, width, height);
    set_couples(&d);
    uint8_t *memory = set_memory(&d.rows);
    clean = clean && memory;
    while (clean && d.scan.to < d.scan.mcus && d.next < box.top + box.height)
        clean = begin_interval(&d.scan) && decode_mcus(&d);
    free(memory);
    close_scan(&d.scan);
    return clean;
}
