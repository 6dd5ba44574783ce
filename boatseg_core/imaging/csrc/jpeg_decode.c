/* The decoder for any processor, and the choice among its kinds. */
#include "jpeg_decode.h"

#ifdef HAS_VECTORS
#define DECODE_JPEG decode_jpeg_plain
#include "jpeg_decoder.h"
#else
int decode_jpeg_plain(const uint8_t *data, size_t size, const JpegHeader *header,
                      const Codes *const dc[3], const Codes *const ac[3], Box box, int halved,
                      Sink *sink)
{
    (void)data, (void)size, (void)header, (void)dc, (void)ac, (void)box, (void)halved, (void)sink;
    return 0; /* no vectors: the library decodes all of them */
}
#endif

/* The best one is the last. */
static Decode *const kinds[] = {
    decode_jpeg_plain,
#ifdef HAS_KINDS
    decode_jpeg_v3, decode_jpeg_v4,
#endif
};

int decoders(void)
{
#ifdef HAS_KINDS
    int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
             __builtin_cpu_supports("bmi2");
    int v4 = v3 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq");
    return 1 + v3 + v4;
#else
    return 1;
#endif
}

int decode_jpeg(int kind, const uint8_t *data, size_t size, const JpegHeader *header,
                const Codes *const dc[3], const Codes *const ac[3], Box box, int halved,
                Sink *sink)
{
    return kinds[kind](data, size, header, dc, ac, box, halved, sink);
}
