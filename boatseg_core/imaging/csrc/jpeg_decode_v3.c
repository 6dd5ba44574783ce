/* The decoder for processors with AVX2. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,bmi,bmi2,movbe")
#define DECODE_JPEG decode_jpeg_v3
#include "jpeg_decode.h"
#include "jpeg_decoder.h"
#endif
