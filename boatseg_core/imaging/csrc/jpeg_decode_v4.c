/* The decoder for processors with AVX-512. */
#include "jpeg_decode.h"

#ifdef HAS_KINDS
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,prefer-vector-width=512")
#define DECODE_JPEG decode_jpeg_v4
#include "jpeg_decoder.h"
#endif
