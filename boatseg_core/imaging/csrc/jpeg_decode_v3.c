/* The decoder for processors with AVX2. */
#include "jpeg_decode.h"

#ifdef HAS_KINDS
#pragma GCC target("avx2,bmi,bmi2")
#define DECODE_JPEG decode_jpeg_v3
#include "jpeg_decoder.h"
#endif
