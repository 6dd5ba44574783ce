/* Kinds of the decoder. Unlike what FAST marks it is written in vectors, which the compiler takes
 * apart before it makes versions of a function: so each kind is a file. */
#ifndef BOATSEG_JPEG_DECODE_H
#define BOATSEG_JPEG_DECODE_H

#include "jpeg.h"

#if defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 9)
#define HAS_VECTORS 1
#endif
#if defined(HAS_VECTORS) && defined(__x86_64__) && !defined(__clang__)
#define HAS_KINDS 1
#endif

typedef int Decode(const uint8_t *data, size_t size, const JpegHeader *header,
                   const Codes *const dc[3], const Codes *const ac[3], Box box, int halved,
                   Sink *sink);

Decode decode_jpeg_plain, decode_jpeg_v3, decode_jpeg_v4;

#endif
