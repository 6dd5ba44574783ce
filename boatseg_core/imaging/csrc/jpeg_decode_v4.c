/* The decoder for processors with AVX-512. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,movbe,prefer-vector-width=512")
#define DECODE_JPEG decode_jpeg_v4
#include "jpeg_decode.h"
#include "jpeg_decoder.h"
#endif
