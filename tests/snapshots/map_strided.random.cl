// map_strided
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define map_strided map_strided_d1f68b932a5f

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

__kernel WORK_GROUP void map_strided(
    __global const float *x0_data,
    __global float *y0_data,
    const uint seed,
    const uint item_count,
    const int column_count,
    const int columns_per_item,
    const uint column_chunks)
{
    const uint item = get_global_id(0);
    if (item >= item_count) return;
    const int begin = (int)(item % column_chunks) * columns_per_item;
    const int end = begin + min(columns_per_item, column_count - begin);
    const int row_begin = 0, row_end = 1;

    for (int row = row_begin; row < row_end; ++row) {
        const int first = row * column_count;
        __global const float *x0_row = x0_data;
        __global float *y0_row = y0_data + first;
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)   // in place is safe: an element is read before it is written
#endif
        for (int column = begin; column < end; ++column) {
            const uint index = (uint)(first + column);
            const float x0 = x0_row[column];
            const float y0 = x0 * (float)random_word(index, 0u, seed, 0u);
            y0_row[column] = y0;
        }
    }
}

#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef map_strided
