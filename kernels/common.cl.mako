## common.cl.mako -- functions that several templates share. Each stands behind a guard of its own, since kernels are put together into programs.
<%def name="random_word()">\
#ifndef CLCONV_RANDOM_WORD
#define CLCONV_RANDOM_WORD
// Word 0 of Philox4x32-10 (Salmon et al. 2011) for counter (index, 0, step, 0) and key (seed_low, seed_high).
static inline uint random_word(const uint index, const uint step, const uint seed_low, const uint seed_high)
{
    uint c0 = index, c1 = 0u, c2 = step, c3 = 0u, k0 = seed_low, k1 = seed_high;
    #pragma unroll   // a loop around it can only be vectorised without one inside
    for (int round = 0; round < 10; ++round) {
        const ulong left = (ulong)c0 * 0xD2511F53u;
        const ulong right = (ulong)c2 * 0xCD9E8D57u;
        c0 = (uint)(right >> 32) ^ c1 ^ k0;
        c2 = (uint)(left >> 32) ^ c3 ^ k1;
        c1 = (uint)right;
        c3 = (uint)left;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c0;
}
#endif
</%def>\
## Square roots of float that a loop can be vectorised with: on some drivers sqrt() is a call. Only for float, and to be undone.
<%def name="inline_sqrt()">\
#ifdef __clang__
#define sqrt(v) __builtin_sqrtf(v)
#endif
</%def>\
