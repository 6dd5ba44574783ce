/* Huffman tables made ready for walking, and kept (ITU-T T.81, annexes C and F.2.2.3). */
#include "jpeg.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEPT = 16,          /* tables: those of four kinds of file */
    MOST_DC = 11,       /* bits of a DC difference of 8-bit samples */
    MOST_AC = 10,       /* bits of an AC coefficient */
    MOST_ADVANCE = 63   /* of one entry: more would reach into END_OF_BLOCK */
};

/* Extra bits after a code; -1: no encoder of 8-bit samples uses it. */
static int extra_bits(const HuffmanTable *table, int symbol)
{
    int size = table->is_ac ? symbol & 15 : symbol;
    if (!table->is_ac)
        return size <= MOST_DC ? size : -1;
    if (size == 0)
        return symbol == 0x00 || symbol == 0xf0 ? 0 : -1;
    return size <= MOST_AC ? size : -1;
}

/* How far a code of an AC table moves in its block. */
static int advance(int symbol)
{
    return symbol ? (symbol >> 4) + 1 : END_OF_BLOCK;
}

/* Gather whole codes for as long as all of the next one is in sight. */
static void fill_skips(Codes *codes)
{
    for (uint32_t ahead = 0; ahead < 1 << LOOKUP; ahead++) {
        int used = 0, moved = 0;
        while (used < LOOKUP && moved < END_OF_BLOCK) {
            uint16_t one = codes->one[ahead << used & ((1 << LOOKUP) - 1)];
            int symbol = one >> SYMBOL, all = one & 63, step = advance(symbol);
            if (!one || used + all - (symbol & 15) > LOOKUP ||
                (moved + step > MOST_ADVANCE && step != END_OF_BLOCK))
                break;
            used += all;
            moved += step;
        }
        if (!used)
            moved = LONG_CODE;
        codes->skip[ahead] = (uint16_t)(used | moved << ADVANCE);
    }
}

/* A code with its extra bits. */
typedef struct {
    int bits, step, value;
} Coefficient;

/* What is in sight after some bits are used; no bits if it is not all in sight. */
static Coefficient coefficient(const Codes *codes, uint32_t ahead, int used)
{
    ahead = ahead << (LOOKUP - PAIR_LOOKUP + used) & ((1 << LOOKUP) - 1);
    uint16_t one = codes->one[ahead];
    int symbol = one >> SYMBOL, bits = one & 63, extra = symbol & 15;
    if (!one || used + bits > PAIR_LOOKUP)
        return (Coefficient){0, 0, 0};
    int value = (int)(ahead >> (LOOKUP - bits)) & ((1 << extra) - 1);
    if (extra && value < 1 << (extra - 1))
        value -= (1 << extra) - 1;
    return (Coefficient){bits, symbol ? (symbol >> 4) + 1 : BLOCK_END, value};
}

static void fill_pairs(Codes *codes)
{
    for (uint32_t ahead = 0; ahead < 1 << PAIR_LOOKUP; ahead++) {
        Coefficient first = coefficient(codes, ahead, 0), second = {0, 0, first.value};
        if (!first.bits)
            first.step = BLOCK_END;
        else if (first.step != BLOCK_END)
            second = coefficient(codes, ahead, first.bits);
        if (!second.bits)
            second.value = first.value;
        codes->pair[ahead] = (uint64_t)(first.bits + second.bits) |
                             (uint64_t)first.step << FIRST_STEP |
                             (uint64_t)second.step << SECOND_STEP |
                             (uint64_t)(uint16_t)first.value << FIRST |
                             (uint64_t)(uint16_t)second.value << SECOND;
    }
}

int make_codes(const HuffmanTable *table, Codes *codes)
{
    uint32_t code = 0, symbols = 0;
    codes->from = *table;
    memset(codes->one, 0, sizeof codes->one);
    for (int length = 1; length <= LONGEST_CODE; length++, code <<= 1) {
        codes->offset[length] = (int32_t)symbols - (int32_t)code;
        for (int i = 0; i < table->counts[length - 1]; i++, code++, symbols++) {
            if (symbols >= 256)
                return 0;
            int symbol = table->symbols[symbols], extra = extra_bits(table, symbol);
            /* No code may be all ones: the next one still has to have this length. */
            if (extra < 0 || code + 1 >= 1u << length)
                return 0;
            if (length > LOOKUP)
                continue;
            uint16_t entry = (uint16_t)(symbol << SYMBOL | (length + extra));
            uint32_t first = code << (LOOKUP - length);
            for (uint32_t k = 0; k < 1u << (LOOKUP - length); k++)
                codes->one[first + k] = entry;
        }
        codes->limit[length] = code << (LONGEST_CODE - length);
    }
    if (table->is_ac) {
        fill_skips(codes);
        fill_pairs(codes);
    }
    return 1;
}

/* Guarded by the interpreter's lock. */
static struct {
    Codes *codes;
    int users;
    uint64_t last;
} kept[KEPT];
static uint64_t uses;

const Codes *take_codes(const HuffmanTable *table)
{
    int oldest = -1;
    uses++;
    for (int i = 0; i < KEPT; i++) {
        if (kept[i].codes && !memcmp(&kept[i].codes->from, table, sizeof *table)) {
            kept[i].users++;
            kept[i].last = uses;
            return kept[i].codes;
        }
        if (!kept[i].users && (oldest < 0 || kept[i].last < kept[oldest].last))
            oldest = i;
    }
    Codes *codes = malloc(sizeof *codes);
    if (!codes || !make_codes(table, codes)) {
        free(codes);
        return NULL;
    }
    if (oldest >= 0) {
        free(kept[oldest].codes);
        kept[oldest].codes = codes;
        kept[oldest].users = 1;
        kept[oldest].last = uses;
    } /* else all are in use: this one lives as long as it is */
    return codes;
}

void give_back_codes(const Codes *codes)
{
    for (int i = 0; i < KEPT; i++)
        if (codes && kept[i].codes == codes) {
            kept[i].users--;
            return;
        }
    free((void *)codes);
}
